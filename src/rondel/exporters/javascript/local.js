// Asking the model in this page, in a worker: in place of client.js, which asks a server.

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const useKey = () => {};

const held = id => document.getElementById(id).textContent;
const data = JSON.parse(held("model-data"));
const worker = new Worker(URL.createObjectURL(new Blob([held("worker")], { type: "text/javascript" })));
worker.postMessage({ begin: { data, weights: held("weights"), wasm: held("wasm") } });

const waiting = new Map(); // by number, what takes a message
let number = 0;

worker.onmessage = ({ data: message }) => waiting.get(message.id)?.(message);
worker.onerror = event => waiting.forEach(take => take({ refused: event.message || "the model cannot run in this browser" }));

// The messages that answer a request, as they come.
async function* messages(path, body, signal) {
  const id = ++number, come = [];
  let wake = () => {};
  const put = message => { come.push(message); wake(); };
  const abort = () => {
    worker.postMessage({ id, stop: true });
    put({ aborted: true });
  };
  waiting.set(id, put);
  signal?.addEventListener("abort", abort);
  worker.postMessage({ id, path, body });
  try {
    while (true) {
      while (!come.length) await new Promise(done => { wake = done; });
      const message = come.shift();
      if (message.aborted) throw new DOMException("Stopped", "AbortError");
      if (message.refused) throw new Refused(sentence(message.refused), 400);
      if (message.done) return;
      yield message;
    }
  } finally {
    waiting.delete(id);
    signal?.removeEventListener("abort", abort);
  }
}

const sentence = reason => reason[0].toUpperCase() + reason.slice(1) + (reason.endsWith(".") ? "" : ".");

export async function ask(path, body, signal) {
  if (path === "/openapi.json") return { components: { schemas: { CompletionRequest: { properties: data.rules } } } };
  for await (const { answer } of messages(path, body, signal)) return answer;
}

export async function* events(path, body, signal) {
  for await (const { event } of messages(path, body, signal)) yield event;
}
