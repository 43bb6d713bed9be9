// The arrays of a model, from safetensors: in single or half precision, or of 8 bits with a scale a row.

const SCALES = ".scales";

// By name: shape and values, in single precision, or of 8 bits with the `scales` of their rows.
export function readArrays(bytes) {
  const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  const data = bytes.subarray(8 + size);
  const values = name => {
    const { dtype, data_offsets: [begin, end] } = header[name];
    return READERS[dtype](data.slice(begin, end).buffer);
  };
  const arrays = Object.create(null);
  for (const [name, { dtype, shape }] of Object.entries(header)) {
    if (name === "__metadata__" || name.endsWith(SCALES)) continue;
    arrays[name] = { shape, values: values(name), ...(dtype === "I8" ? { scales: values(name + SCALES) } : {}) };
  }
  return arrays;
}

const READERS = {
  F32: buffer => new Float32Array(buffer),
  F16: buffer => Float32Array.from(new Uint16Array(buffer), half),
  I8: buffer => new Int8Array(buffer),
};

// The number that 16 bits stand for (IEEE 754): a sign, 5 bits of exponent, 10 of fraction.
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
