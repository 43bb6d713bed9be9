// Memory for arrays of single precision, and the arithmetic on it: as WebAssembly, or in JavaScript.

import { plainFunctions } from "./plain_engine.js";

const PAGE = 65536;
const FIRST = PAGE; // bytes: below lies the stack of the compiled functions

const WIDE = 16; // columns of 8 bits that are multiplied together

export const padded = (size, multiple = 4) => Math.ceil(size / multiple) * multiple;

// Numbers in a machine's memory. A `view` is good until more memory is reserved.
class Floats {
  constructor(machine, place, size) {
    this.machine = machine;
    this.place = place; // in bytes, as the functions take it
    this.size = size;
    this.kept = null;
  }

  get view() {
    const buffer = this.machine.memory.buffer;
    if (this.kept === null || this.kept.buffer !== buffer) this.kept = new Float32Array(buffer, this.place, this.size);
    return this.kept;
  }
}

export class Machine {
  constructor(memory, functions) {
    this.memory = memory;
    this.functions = functions;
    this.end = FIRST;
    this.whole = null; // a vector as whole numbers of 16 bits
  }

  // Room for so many numbers, rounded up to a multiple of 4: all 0.
  reserve(size) {
    const place = this.end;
    this.end += 4 * padded(size);
    const missing = this.end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return new Floats(this, place, padded(size));
  }

  // A matrix of `columns`, whose rows are gates of `size` rows each: all begin at multiples of 4. It
  // is in single precision, or of 8 bits if there are `scales`. `bounded` says that what it is
  // multiplied by is within 1.
  matrix({ values, scales }, columns, size, bounded = false) {
    const rows = values.length / columns, wide = padded(columns, scales ? WIDE : 4), high = padded(size);
    const all = rows / size * high, numbers = this.reserve(scales ? all * wide / 4 : all * wide);
    const into = scales ? new Int8Array(this.memory.buffer, numbers.place, all * wide) : numbers.view;
    for (let row = 0; row < rows; row++) {
      const gate = Math.floor(row / size), at = (gate * high + row % size) * wide;
      into.set(values.subarray(row * columns, (row + 1) * columns), at);
    }
    const matrix = { place: numbers.place, rows: all, columns: wide, scales: null };
    if (!scales) return matrix;
    if (!this.whole || this.whole.size < wide / 2) this.whole = this.reserve(wide / 2);
    return { ...matrix, scales: this.vector(scales, size).place, size: padded(columns), bounded };
  }

  // A vector of gates of `size` numbers each.
  vector(values, size) {
    const high = padded(size), floats = this.reserve(values.length / size * high), into = floats.view;
    for (let at = 0; at < values.length; at += size) into.set(values.subarray(at, at + size), at / size * high);
    return floats;
  }

  // out += matrix · x
  multiply(out, matrix, x) {
    const { functions } = this, { place, rows, columns, scales } = matrix;
    if (scales === null) {
      functions.multiply(out, place, x, rows, columns);
    } else {
      const unit = functions.quantise(this.whole.place, x, matrix.size, columns, matrix.bounded);
      functions.multiply_int8(out, place, scales, this.whole.place, unit, rows, columns);
    }
  }
}

// Some rows of a matrix, as one.
export function rowsOf(matrix, first, count) {
  const bytes = matrix.scales === null ? 4 : 1;
  return {
    ...matrix,
    place: matrix.place + bytes * first * matrix.columns,
    rows: count,
    scales: matrix.scales === null ? null : matrix.scales + 4 * first,
  };
}

class PlainMemory {
  constructor() {
    this.buffer = new ArrayBuffer(2 * FIRST);
  }

  grow(pages) {
    const larger = new Uint8Array(this.buffer.byteLength + Math.max(pages * PAGE, this.buffer.byteLength >> 1));
    larger.set(new Uint8Array(this.buffer));
    this.buffer = larger.buffer;
  }
}

// A machine by the bytes of engine.wasm; without them, or where they cannot run, in JavaScript.
export async function startMachine(wasm) {
  if (wasm && typeof WebAssembly === "object") {
    try {
      const memory = new WebAssembly.Memory({ initial: 2 });
      const { instance } = await WebAssembly.instantiate(wasm, { env: { memory } });
      return new Machine(memory, instance.exports);
    } catch {
      // No SIMD in this browser, or no WebAssembly allowed.
    }
  }
  const memory = new PlainMemory();
  return new Machine(memory, plainFunctions(memory));
}
