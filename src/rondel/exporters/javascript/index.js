// Opens the model of this package, in a browser or in Node:
//
//   import { load } from "./poems/index.js";
//   const model = await load();
//   for (const piece of model.stream("Once ", { length: 300, seed: 1, temperature: 0.8 })) write(piece);

import { openModel } from "./open.js";
import { parts } from "./parts.js";
import { Refusal } from "./probability.js";

export { Refusal };

// `wasm: false` runs it in plain JavaScript.
export async function load({ wasm = true } = {}) {
  const [data, weights, engine] = await Promise.all([
    bytesOf("model.json"), bytesOf("weights.safetensors.gz"), wasm ? bytesOf("engine.wasm") : null,
  ]);
  return openModel(parts, JSON.parse(new TextDecoder().decode(data)), weights, engine);
}

async function bytesOf(name) {
  const place = new URL(name, import.meta.url);
  if (place.protocol === "file:" && globalThis.process) {
    const { readFile } = await import("node:fs/promises");
    return new Uint8Array(await readFile(place));
  }
  const answer = await fetch(place);
  if (!answer.ok) throw new Error(`${place} cannot be had: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}
