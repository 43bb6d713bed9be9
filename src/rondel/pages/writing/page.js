// Writing with a model: what the buttons do.

import { ask, events, Refused, useKey } from "./client.js";
import { Paper, shade } from "./paper.js";
import { address, makeRules, readAddress, request, writeAddress } from "./settings.js";

const $ = id => document.getElementById(id);
const ALTERNATIVES = 5, MOST_TOLD = 20000, MOST_TRACED = 20000;
const paper = new Paper($("paper"), $("here"));
let models = [], writing = null, seed = null, traced = 0;

const model = () => models.find(one => one.id === $("model").value);

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

function trouble(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Refused)) throw error;
  say(error.message, true);
  if (error.status === 401) {
    $("key").hidden = false;
    $("key-field").focus();
  }
}

function busy(controller) {
  writing = controller;
  const written = paper.tokens.length > 0;
  $("write").disabled = controller !== null;
  $("stop").disabled = controller === null;
  $("more").disabled = controller !== null || !written;
  $("copy").disabled = !($("paper").textContent);
  $("paper").setAttribute("aria-busy", controller !== null);
  for (const button of document.querySelectorAll("[data-do]")) button.disabled = controller !== null;
}

// The text goes on from the prime, which is echoed so that it can be pointed at too; or from itself.
async function write(goOn) {
  if (writing) return;
  const controller = new AbortController();
  const asked = request();
  seed = asked.seed;
  const prompt = goOn ? paper.text : $("prime").value;
  const told = prompt.length + asked.max_tokens <= MOST_TOLD;
  if (!goOn) paper.clear();
  busy(controller);
  say("Writing …");
  const began = performance.now();
  let written = 0;
  let wrong = "";
  try {
    const body = {
      ...asked, stream: true, echo: !goOn, unknown: "read",
      ...(told ? { logprobs: ALTERNATIVES } : {}), ...(prompt ? { prompt } : {}),
    };
    let left = goOn ? 0 : prompt.length;
    for await (const event of events("/v1/completions", body, controller.signal)) {
      const [choice] = event.choices;
      const tokens = tokensOf(choice, told);
      for (const token of tokens) {
        token.prime = left > 0;
        left -= token.text.length;
        if (!token.prime) written += token.text.length;
      }
      paper.add(tokens);
      $("copy").disabled = false;
    }
  } catch (error) {
    wrong = error.name === "AbortError" ? "Stopped. " : "";
    trouble(error);
    if (!wrong) return;
  } finally {
    busy(null);
    paint();
  }
  const seconds = (performance.now() - began) / 1000;
  say(`${wrong}${written.toLocaleString("en")} characters in ${seconds.toFixed(1)} s, seed ${seed}.` +
    (told ? "" : " It is too long to tell how likely each character was."));
}

function tokensOf(choice, told) {
  if (!told) return choice.text ? [{ text: choice.text }] : [];
  const { tokens, token_logprobs, top_logprobs } = choice.logprobs;
  return tokens.map((text, i) => ({ text, logprob: token_logprobs[i], top: top_logprobs[i] }));
}

// Sentence VAEs, and the texts of a model that fills gaps.
const SENTENCES = {
  async sample(signal) {
    const told = await ask("/v1/completions", { model: model().id, n: 8, max_tokens: 200, seed }, signal);
    return told.choices.map(choice => ({ text: choice.text.trim() }));
  },
  async reconstruct(signal) {
    const told = await ask("/v1/reconstruct", { model: model().id, input: $("first").value, samples: 5, seed }, signal);
    return [{ text: told.sentence }, ...told.samples.map(text => ({ text, again: text === told.sentence }))];
  },
  async interpolate(signal) {
    const ends = { from: $("first").value || null, to: $("second").value || null };
    const told = await ask("/v1/interpolate", { model: model().id, ...ends, steps: 9, seed }, signal);
    return told.steps.map(step => ({ text: step.sentence, again: step.repeats }));
  },
  async fill(signal) {
    const told = await ask("/v1/fill", { model: model().id, input: $("gapped").value, seed }, signal);
    return told.texts;
  },
};

async function doWithSentences(what) {
  if (writing) return;
  const controller = new AbortController();
  ({ seed } = request());
  busy(controller);
  say("Writing …");
  try {
    const lines = await SENTENCES[what](controller.signal);
    paper.clear();
    $("paper").replaceChildren(...lines.map(({ text, again }) => {
      const line = document.createElement("p");
      line.textContent = text || "(nothing)";
      line.className = again ? "again" : "";
      return line;
    }));
    say(`${lines.length} ${what === "fill" ? "texts" : "sentences"}.`);
  } catch (error) {
    trouble(error);
  } finally {
    busy(null);
  }
}

// Colours.
async function paint() {
  const by = $("colour").value, turn = ++traced;
  $("unit-fields").hidden = by !== "unit";
  legend(by);
  if (by !== "unit") return paper.colour(by);
  if (writing || !paper.tokens.length) return;
  const name = `${$("track").value}:${$("layer").value}:${$("unit").value}`;
  try {
    const input = paper.text.slice(0, MOST_TRACED);
    const told = await ask("/v1/trace", { model: model().id, input, units: [name] });
    if (turn !== traced) return;
    const values = told.units[name], most = Math.max(1, ...values.map(Math.abs));
    paper.colour("unit", `unit ${name.replace("hidden:", "")}`, paper.aligned(told.tokens, values.map(value => value / most)));
  } catch (error) {
    trouble(error);
  }
}

function legend(by) {
  $("legend").hidden = !by;
  const [from, to, low] = by === "unit" ? ["−", "+", -1] : ["0 bits", "10 bits or more", 0];
  const swatches = Array.from({ length: 11 }, (_, i) => {
    const swatch = document.createElement("i");
    swatch.style.background = shade(low + (1 - low) * i / 10);
    return swatch;
  });
  $("legend").replaceChildren(`${from} `, ...swatches, ` ${to}`);
}

function chosen() {
  const own = model();
  if (!own) return;
  const sentences = own.kind === "sentence-vae";
  $("about").textContent = `${own.level} level, ${own.cell} ${own.num_layers}×${own.hidden_size}`;
  for (const id of ["ask", "colours", "settings", "how", "here"]) $(id).hidden = sentences;
  $("sentences").hidden = !sentences;
  $("gaps").hidden = !own.fills_gaps;
  $("paper").classList.toggle("code", own.level === "byte");
  $("length").max = own.max_tokens;
  $("track").replaceChildren(...Object.keys(own.tracks).map(name => new Option(name)));
  layers();
  paper.clear();
  busy(null);
  say("");
}

function layers() {
  const [count, size] = model().tracks[$("track").value] || [1, 1];
  $("layer").replaceChildren(...Array.from({ length: count }, (_, i) => new Option(i + 1)));
  $("unit").max = size;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    say(`This browser lets no page copy: here it is to copy by hand: ${text}`);
  }
}

const THEMES = ["", "dark", "light"];

function theme(next) {
  let kept = localStorage.getItem("rondel-theme") || "";
  if (next) kept = THEMES[(THEMES.indexOf(kept) + 1) % THEMES.length];
  localStorage.setItem("rondel-theme", kept);
  if (kept) document.documentElement.dataset.theme = kept; else delete document.documentElement.dataset.theme;
  $("theme").title = kept ? `Always ${kept}` : "Light or dark as the system has it";
}

function listen() {
  $("ask").addEventListener("submit", event => { event.preventDefault(); write(false); });
  $("stop").addEventListener("click", () => writing?.abort());
  $("more").addEventListener("click", () => write(true));
  $("copy").addEventListener("click", () => copy(paper.text || $("paper").innerText, "Text"));
  for (const button of document.querySelectorAll(".link")) {
    button.addEventListener("click", () => copy(address(seed), "Link"));
  }
  $("theme").addEventListener("click", () => theme(true));
  $("model").addEventListener("input", chosen);
  $("track").addEventListener("input", layers);
  for (const id of ["colour", "track", "layer", "unit"]) $(id).addEventListener("input", paint);
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => doWithSentences(button.dataset.do));
  }
  document.body.addEventListener("change", writeAddress);
  $("key").addEventListener("submit", event => {
    event.preventDefault();
    useKey($("key-field").value);
    $("key").hidden = true;
    models.length ? say("") : begin();
  });
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") writing?.abort();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("ask").hidden) write(false);
  });
}

async function begin() {
  try {
    models = (await ask("/v1/models")).data;
    makeRules(await ask("/openapi.json"));
  } catch (error) {
    return trouble(error);
  }
  $("model").replaceChildren(...models.map(one => new Option(one.id)));
  readAddress();
  chosen();
  paint();
  document.body.dataset.ready = "yes";
}

theme(false);
listen();
begin();
