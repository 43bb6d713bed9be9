// Runs the calls that tests/_javascript.py writes to its standard input, and prints their results.

import { readFileSync } from "node:fs";

const models = new Map();

let random = null; // its module of random numbers

async function opened(place, wasm) {
  const key = `${place} ${wasm}`;
  if (!models.has(key)) {
    const { load } = await import(`${place}/index.js`);
    models.set(key, await load({ wasm }));
    random = await import(`${place}/random.js`);
  }
  return models.get(key);
}

const decoded = ({ tokenizer }, sequences) => sequences.map(ids => {
  const decoder = tokenizer.decoder();
  return ids.map(id => decoder.push(id)).join("") + decoder.finish();
});

// Of each text its token ids, where they stand in it, and what they are decoded to.
const tokens = (model, texts) => texts.map(text => {
  const ids = model.tokenizer.encode(text);
  return [ids, model.tokenizer.spans(text), ...decoded(model, [ids])];
});

function logits(model, ids) {
  model.stack.reset();
  return ids.map(id => {
    model.read(id);
    return [...model.logits()];
  });
}

// Of each seed, numbers from 0 to 1, and whole numbers below 1, 2, 3 …
const drawn = (model, seeds, count) => seeds.map(numbers => {
  const [uniform, whole] = [new random.Generator(numbers), new random.Generator(numbers)];
  const places = Array.from({ length: count }, (_, n) => n);
  return [places.map(() => uniform.uniform()), places.map(n => whole.below(n + 1))];
});

const CALLS = { decoded, drawn, logits, tokens };
const results = [];
for (const { package: place, wasm = true, call: [name, ...values] } of JSON.parse(readFileSync(0, "utf-8"))) {
  const model = await opened(place, wasm);
  try {
    const result = name in CALLS ? CALLS[name](model, ...values) : model[name](...values);
    results.push(result?.next ? [...result] : result);
  } catch (error) {
    results.push({ error: error.message });
  }
}
process.stdout.write(JSON.stringify(results));
