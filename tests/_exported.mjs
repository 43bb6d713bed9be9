// Runs the calls that tests/_javascript.py writes to its standard input, and prints their results.

import { readFileSync } from "node:fs";

const models = new Map();

async function opened(place, wasm) {
  const key = `${place} ${wasm}`;
  if (!models.has(key)) {
    const { load } = await import(`${place}/index.js`);
    models.set(key, await load({ wasm }));
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

const CALLS = { decoded, logits, tokens };
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
