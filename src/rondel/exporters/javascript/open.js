// A model from what an export holds: its description, its arrays, and the compiled arithmetic.

import { readArrays } from "./arrays.js";
import { startMachine } from "./machine.js";

// The bytes of a text in base64.
export function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text), bytes = new Uint8Array(characters.length);
  for (let n = 0; n < bytes.length; n++) bytes[n] = characters.charCodeAt(n);
  return bytes;
}

export async function decompressed(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// `parts` are the classes and functions of its components; `weights` are safetensors in gzip. Without
// `wasm`, the bytes of engine.wasm, it runs in JavaScript.
export async function openModel(parts, data, weights, wasm) {
  const machine = await startMachine(wasm);
  return new parts.Model(machine, parts, data, readArrays(await decompressed(weights)));
}
