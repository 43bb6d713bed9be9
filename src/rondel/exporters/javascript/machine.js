// Memory for arrays of single precision, and the arithmetic on it: as WebAssembly, or in JavaScript.

import { plainFunctions } from "./plain_engine.js";

const PAGE = 65536;
const FIRST = PAGE; // bytes: below lies the stack of the compiled functions

export const padded = size => Math.ceil(size / 4) * 4;

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
  }

  // Room for so many numbers, rounded up to a multiple of 4: all 0.
  reserve(size) {
    const place = this.end;
    this.end += 4 * padded(size);
    const missing = this.end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return new Floats(this, place, padded(size));
  }

  // A matrix of `columns`, whose rows are gates of `size` rows each: all begin at multiples of 4.
  matrix(values, columns, size) {
    const rows = values.length / columns, wide = padded(columns), high = padded(size);
    const floats = this.reserve(rows / size * high * wide), into = floats.view;
    for (let row = 0; row < rows; row++) {
      const gate = Math.floor(row / size), at = (gate * high + row % size) * wide;
      into.set(values.subarray(row * columns, (row + 1) * columns), at);
    }
    return { place: floats.place, rows: rows / size * high, columns: wide };
  }

  // A vector of gates of `size` numbers each.
  vector(values, size) {
    const high = padded(size), floats = this.reserve(values.length / size * high), into = floats.view;
    for (let at = 0; at < values.length; at += size) into.set(values.subarray(at, at + size), at / size * high);
    return floats;
  }

  // out += matrix · x
  multiply(out, matrix, x) {
    this.functions.multiply(out, matrix.place, x, matrix.rows, matrix.columns);
  }
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
