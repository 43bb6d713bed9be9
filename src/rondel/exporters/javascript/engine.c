// The arithmetic of the engine in a page: products with a vector, and what cells do with the sums.
//
// `scripts/build_wasm.py` builds engine.wasm of it; plain_engine.js has the same functions for
// where there is no WebAssembly. Every vector has a multiple of 4 numbers, padded with zeros, and
// the rows of a matrix have as many numbers as the vector that it is multiplied by; those of 8 bits
// are padded further, to a multiple of 16.
#include <wasm_simd128.h>

#define EXPORT __attribute__((visibility("default")))

static v128_t splat(float x) { return wasm_f32x4_splat(x); }

static v128_t load(const float *place) { return wasm_v128_load(place); }

static v128_t fma(v128_t a, v128_t b, v128_t c) { return wasm_f32x4_add(wasm_f32x4_mul(a, b), c); }

// The sums of the lanes of four vectors.
static v128_t sums(v128_t a, v128_t b, v128_t c, v128_t d) {
  v128_t ab = wasm_f32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
  v128_t cd = wasm_f32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
  return wasm_f32x4_add(wasm_i32x4_shuffle(ab, cd, 0, 1, 4, 5), wasm_i32x4_shuffle(ab, cd, 2, 3, 6, 7));
}

// out[row] += sum of weights[row, column] * x[column]
EXPORT void multiply(float *out, const float *weights, const float *x, int rows, int columns) {
  for (int row = 0; row < rows; row += 4, weights += 4 * columns) {
    const float *w0 = weights, *w1 = w0 + columns, *w2 = w1 + columns, *w3 = w2 + columns;
    v128_t a0 = splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    int column = 0;
    for (; column + 8 <= columns; column += 8) {
      v128_t x0 = load(x + column), x1 = load(x + column + 4);
      a0 = fma(load(w0 + column), x0, a0);
      a1 = fma(load(w1 + column), x0, a1);
      a2 = fma(load(w2 + column), x0, a2);
      a3 = fma(load(w3 + column), x0, a3);
      b0 = fma(load(w0 + column + 4), x1, b0);
      b1 = fma(load(w1 + column + 4), x1, b1);
      b2 = fma(load(w2 + column + 4), x1, b2);
      b3 = fma(load(w3 + column + 4), x1, b3);
    }
    if (column < columns) {
      v128_t x0 = load(x + column);
      a0 = fma(load(w0 + column), x0, a0);
      a1 = fma(load(w1 + column), x0, a1);
      a2 = fma(load(w2 + column), x0, a2);
      a3 = fma(load(w3 + column), x0, a3);
    }
    v128_t total = sums(wasm_f32x4_add(a0, b0), wasm_f32x4_add(a1, b1), wasm_f32x4_add(a2, b2), wasm_f32x4_add(a3, b3));
    wasm_v128_store(out + row, wasm_f32x4_add(load(out + row), total));
  }
}

// x as whole numbers of up to 16 bits, whose unit is returned; if `bounded`, x is within 1. No sum of
// products with weights of 8 bits over all columns is beyond 32 bits; `columns` is a multiple of 16.
EXPORT float quantise(short *out, const float *x, int size, int columns, int bounded) {
  v128_t peaks = splat(0);
  for (int i = 0; i < size; i += 4) peaks = wasm_f32x4_max(peaks, wasm_f32x4_abs(load(x + i)));
  peaks = wasm_f32x4_max(peaks, wasm_i32x4_shuffle(peaks, peaks, 2, 3, 0, 1));
  peaks = wasm_f32x4_max(peaks, wasm_i32x4_shuffle(peaks, peaks, 1, 0, 3, 2));
  float peak = bounded ? 1 : wasm_f32x4_extract_lane(peaks, 0), largest = 2147483647.0f / (127.0f * (float)columns) - 1.0f;
  if (largest > 32767.0f) largest = 32767.0f;
  v128_t factor = splat(peak > 0 ? largest / peak : 0);
  for (int i = 0; i < size; i += 4) {
    v128_t whole = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_mul(load(x + i), factor)));
    wasm_v128_store64_lane(out + i, wasm_i16x8_narrow_i32x4(whole, whole), 0);
  }
  return peak / largest;
}

// out[row] += scales[row] * unit * sum of weights[row, column] * x[column], in whole numbers
EXPORT void multiply_int8(float *out, const signed char *weights, const float *scales, const short *x, float unit, int rows, int columns) {
  for (int row = 0; row < rows; row += 4, weights += 4 * columns) {
    const signed char *w0 = weights, *w1 = w0 + columns, *w2 = w1 + columns, *w3 = w2 + columns;
    v128_t a0 = wasm_i32x4_splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (int column = 0; column < columns; column += 16) {
      v128_t x0 = wasm_v128_load(x + column), x1 = wasm_v128_load(x + column + 8);
      a0 = wasm_i32x4_add(a0, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w0 + column), x0));
      a1 = wasm_i32x4_add(a1, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w1 + column), x0));
      a2 = wasm_i32x4_add(a2, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w2 + column), x0));
      a3 = wasm_i32x4_add(a3, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w3 + column), x0));
      b0 = wasm_i32x4_add(b0, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w0 + column + 8), x1));
      b1 = wasm_i32x4_add(b1, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w1 + column + 8), x1));
      b2 = wasm_i32x4_add(b2, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w2 + column + 8), x1));
      b3 = wasm_i32x4_add(b3, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(w3 + column + 8), x1));
    }
    a0 = wasm_i32x4_add(a0, b0), a1 = wasm_i32x4_add(a1, b1), a2 = wasm_i32x4_add(a2, b2), a3 = wasm_i32x4_add(a3, b3);
    v128_t a01 = wasm_i32x4_add(wasm_i32x4_shuffle(a0, a1, 0, 4, 1, 5), wasm_i32x4_shuffle(a0, a1, 2, 6, 3, 7));
    v128_t a23 = wasm_i32x4_add(wasm_i32x4_shuffle(a2, a3, 0, 4, 1, 5), wasm_i32x4_shuffle(a2, a3, 2, 6, 3, 7));
    v128_t total = wasm_i32x4_add(wasm_i32x4_shuffle(a01, a23, 0, 1, 4, 5), wasm_i32x4_shuffle(a01, a23, 2, 3, 6, 7));
    v128_t factor = wasm_f32x4_mul(load(scales + row), splat(unit));
    wasm_v128_store(out + row, fma(wasm_f32x4_convert_i32x4(total), factor, load(out + row)));
  }
}

// e^x by the polynomial of Cephes (Moshier 1992), within 2 units in the last place; x is at most 88.
static v128_t exponential(v128_t x) {
  x = wasm_f32x4_pmax(splat(-87.33654f), wasm_f32x4_pmin(splat(88.0f), x));
  v128_t whole = wasm_f32x4_nearest(wasm_f32x4_mul(x, splat(1.44269504088896341f)));
  v128_t rest = fma(whole, splat(-0.693359375f), x);
  rest = fma(whole, splat(2.12194440e-4f), rest);
  v128_t y = splat(1.9875691500e-4f);
  y = fma(y, rest, splat(1.3981999507e-3f));
  y = fma(y, rest, splat(8.3334519073e-3f));
  y = fma(y, rest, splat(4.1665795894e-2f));
  y = fma(y, rest, splat(1.6666665459e-1f));
  y = fma(y, rest, splat(5.0000001201e-1f));
  y = fma(wasm_f32x4_mul(rest, rest), y, wasm_f32x4_add(rest, splat(1.0f)));
  v128_t exponent = wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(whole), wasm_i32x4_splat(127));
  return wasm_f32x4_mul(y, wasm_i32x4_shl(exponent, 23));
}

static v128_t sigmoid(v128_t x) {
  return wasm_f32x4_div(splat(1), wasm_f32x4_add(splat(1), exponential(wasm_f32x4_neg(x))));
}

static v128_t tanh(v128_t x) {
  v128_t twice = sigmoid(wasm_f32x4_add(x, x));
  return wasm_f32x4_sub(wasm_f32x4_add(twice, twice), splat(1));
}

EXPORT void hyperbolic_tangent(float *x, int size) {
  for (int i = 0; i < size; i += 4) wasm_v128_store(x + i, tanh(load(x + i)));
}

// Cells: the sums of the gates, one gate after the other, become the activated gates; the state
// becomes the next one.

EXPORT void rnn_tanh(float *gates, float *h, int size) {
  for (int i = 0; i < size; i += 4) {
    v128_t hidden = tanh(load(gates + i));
    wasm_v128_store(gates + i, hidden);
    wasm_v128_store(h + i, hidden);
  }
}

EXPORT void rnn_relu(float *gates, float *h, int size) {
  for (int i = 0; i < size; i += 4) {
    v128_t hidden = wasm_f32x4_max(splat(0), load(gates + i));
    wasm_v128_store(gates + i, hidden);
    wasm_v128_store(h + i, hidden);
  }
}

// The candidate's part of the hidden state has its sums apart.
EXPORT void gru(float *gates, const float *hidden_candidate, float *h, int size) {
  for (int i = 0; i < size; i += 4) {
    v128_t reset = sigmoid(load(gates + i)), update = sigmoid(load(gates + size + i));
    v128_t candidate = tanh(fma(reset, load(hidden_candidate + i), load(gates + 2 * size + i)));
    v128_t before = load(h + i);
    wasm_v128_store(gates + i, reset);
    wasm_v128_store(gates + size + i, update);
    wasm_v128_store(gates + 2 * size + i, candidate);
    wasm_v128_store(h + i, fma(update, wasm_f32x4_sub(before, candidate), candidate));
  }
}

EXPORT void lstm(float *gates, float *h, float *c, int size) {
  for (int i = 0; i < size; i += 4) {
    v128_t input = sigmoid(load(gates + i)), forget = sigmoid(load(gates + size + i));
    v128_t candidate = tanh(load(gates + 2 * size + i)), output = sigmoid(load(gates + 3 * size + i));
    v128_t memory = fma(forget, load(c + i), wasm_f32x4_mul(input, candidate));
    wasm_v128_store(gates + i, input);
    wasm_v128_store(gates + size + i, forget);
    wasm_v128_store(gates + 2 * size + i, candidate);
    wasm_v128_store(gates + 3 * size + i, output);
    wasm_v128_store(c + i, memory);
    wasm_v128_store(h + i, wasm_f32x4_mul(output, tanh(memory)));
  }
}
