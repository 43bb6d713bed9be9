// A model in a worker of the page, which answers as the service of `rondel serve` does.

import { fromBase64, openModel } from "./open.js";
import { parts } from "./parts.js";
import { Refusal } from "./probability.js";

const FIRST_SLICE = 10, SLICE = 40; // milliseconds for which a text is written before it is shown

let opened = null;
const stopped = new Set();

// Let messages arrive that came meanwhile. Timers would wait for 4 ms.
const { port1, port2 } = new MessageChannel();
const turn = () => new Promise(done => {
  port1.onmessage = () => done();
  port2.postMessage(null);
});

// Half a surrogate pair stands for a byte that is no UTF-8.
const shown = text => SURROGATE.test(text) ? text.replace(LONE, "\ufffd") : text;
const SURROGATE = /[\ud800-\udfff]/, LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function choice(pieces, told, finished) {
  const tokens = pieces.flatMap(piece => piece.tokens);
  return {
    text: shown(pieces.map(piece => piece.text).join("")),
    logprobs: told ? {
      tokens: tokens.map(token => shown(token.text)),
      token_logprobs: tokens.map(token => token.logprob),
      top_logprobs: tokens.map(({ top }) => top && Object.fromEntries(Object.entries(top).map(([text, p]) => [shown(text), p]))),
    } : null,
    finished,
  };
}

async function complete(id, model, body) {
  const told = body.logprobs !== undefined;
  let pieces = [], until = performance.now() + FIRST_SLICE;
  for (const piece of model.completion(body)) {
    pieces.push(piece);
    if (performance.now() < until) continue;
    postMessage({ id, event: { choices: [choice(pieces, told, false)] } });
    pieces = [];
    await turn();
    if (stopped.delete(id)) return;
    until = performance.now() + SLICE;
  }
  postMessage({ id, event: { choices: [choice(pieces, told, true)] } });
}

async function answer(id, path, body) {
  const model = await opened;
  if (path === "/v1/models") postMessage({ id, answer: { data: [{ ...model.data.facts, fills_gaps: "fill" in model }] } });
  else if (path === "/v1/completions" && body.stream) await complete(id, model, body);
  else postMessage({ id, answer: model.answer(path, body) });
  postMessage({ id, done: true });
}

onmessage = ({ data: { id, begin, path, body, stop } }) => {
  if (begin) {
    opened = openModel(parts, begin.data, fromBase64(begin.weights), begin.wasm && fromBase64(begin.wasm));
    return;
  }
  if (stop) {
    stopped.add(id);
    return;
  }
  answer(id, path, body).catch(error => {
    postMessage({ id, refused: error instanceof Refusal ? error.message : `${error.name}: ${error.message}` });
  });
};
