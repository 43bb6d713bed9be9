// A text that goes on from a prime, token by token.

import { argmax, draw, likeliest, logSoftmax, Refusal } from "./probability.js";
import { generatorOf } from "./random.js";
import { piecesOf } from "./spans.js";
import { StopScanner } from "./stopping.js";
import { isWhite } from "./white.js";

// Checked settings; `rules` are those that change something, in their order.
export function settingsOf(given, rules, fields) {
  const { length = 500, mode = "sample", seed = null, index = 0, stop = [], ...values } = given;
  if (!["sample", "argmax", "spaces"].includes(mode)) throw new Refusal(`mode is one of sample, argmax, spaces, not "${mode}"`);
  for (const [name, number] of [["length", length], ["seed", seed ?? 0], ["index", index]]) {
    if (!Number.isSafeInteger(number) || number < 0) throw new Refusal(`${name} is a whole number from 0 on, not ${number}`);
  }
  for (const [name, value] of Object.entries(values)) check(name, value, fields[name]);
  const active = Object.keys(values).filter(name => values[name] !== fields[name].default);
  const chosen = active.map(name => rules[name]).sort((a, b) => a.order - b.order);
  return { length, mode, seed, index, stop: [stop].flat().filter(Boolean), rules: chosen, values };
}

function check(name, value, field) {
  if (!field) throw new Refusal(`no sampling rule has a parameter called "${name}"`);
  const wrong = !Number.isFinite(value) || field.type === "integer" && !Number.isInteger(value) ||
    value < field.minimum || value <= field.exclusiveMinimum || value > field.maximum;
  const limits = [["at least", field.minimum], ["more than", field.exclusiveMinimum], ["at most", field.maximum]]
    .filter(([, limit]) => limit !== undefined).map(([words, limit]) => `${words} ${limit}`).join(" and ");
  if (wrong) throw new Refusal(`${name} must be ${field.type === "integer" ? "a whole number" : "a number"}, ${limits}, not ${value}`);
}

// What a text may begin with where no prime is given: after line breaks, or by half an excerpt.
export function openingOf(tokenizer, excerpts, seed, index) {
  if (!excerpts.length) throw new Refusal("this model carries no excerpts of its text; give it a prime");
  const excerpt = excerpts[generatorOf(seed, index).below(excerpts.length)];
  if (!/[^\n]/.test(excerpt)) return { prime: excerpt, shown: "" };
  // Bytes of one character all end where it does.
  const ends = [...new Set(tokenizer.spans(excerpt).map(([, end]) => end))];
  const prime = excerpt.slice(0, ends[Math.min(4, Math.max(1, ends.length >> 1)) - 1]);
  return { prime, shown: prime };
}

// Reads a prime: what is known before the first token is chosen.
export function readPrime(engine, tokenizer, prime, logprobs = null) {
  if (!prime) throw new Refusal("there is nothing to continue: give a prime of at least one character");
  const text = withoutSpace(tokenizer, prime), ids = tokenizer.encode(text);
  if (!ids.length) throw new Refusal("there is nothing to continue: give a prime with a word");
  let decoder = tokenizer.decoder(), logits = null;
  const spellings = logprobs === null ? [] : piecesOf(prime, tokenizer.spans(text)), tokens = [];
  for (const [n, id] of ids.entries()) {
    if (logprobs === null) decoder.push(id);
    else tokens.push(spelled(noteToken(tokenizer, decoder, id, logits, logprobs, false), spellings[n]));
    engine.read(id);
    if (logprobs !== null) logits = engine.logits();
  }
  logits = new Float64Array(engine.logits());
  decoder.finish(); // part of a character at its end was shown already
  const led = text !== prime ? tokenizer.spaceLed : null;
  if (led) logits = logits.map((logit, id) => led[id] ? logit : -Infinity);
  if (led || tokenizer.impliesSpace && isWhite(prime.at(-1))) decoder = new AfterSpace(decoder);
  return { ids, logits, decoder, tokens };
}

// The prime as its text would go on: without a last space that is no token there.
function withoutSpace(tokenizer, prime) {
  const word = prime.endsWith(" ") ? prime.slice(0, -1) : prime;
  if (tokenizer.impliesSpace) return word && !isWhite(word.at(-1)) ? word : prime;
  return word && tokenizer.spaceLed ? word : prime;
}

// A decoder whose prime ended in a space already, so that it writes no other.
class AfterSpace {
  constructor(decoder, begun = false) {
    this.decoder = decoder;
    this.begun = begun;
  }

  push(id) {
    const text = this.decoder.push(id);
    if (this.begun || !text) return text;
    this.begun = true;
    return text.startsWith(" ") ? text.slice(1) : text;
  }

  finish() {
    return this.decoder.finish();
  }

  copy() {
    return new AfterSpace(this.decoder.copy(), this.begun);
  }
}

// What a token adds to its text, its log-probability in nats, and those of the likeliest ones.
function noteToken(tokenizer, decoder, id, given, count, writable) {
  if (given === null) return { text: decoder.push(id), logprob: null, top: null };
  const logits = new Float64Array(given);
  if (writable && tokenizer.unknownId !== null) logits[tokenizer.unknownId] = -Infinity;
  const logprobs = logSoftmax(logits), top = new Map(), own = decoder.copy().push(id);
  top.set(own, logprobs[id]);
  for (const other of likeliest(logprobs, count)) {
    const text = other === id ? own : decoder.copy().push(other);
    // Part of a character adds no text yet; what two tokens share goes to the one that came.
    const plain = other === id || text && text !== own && !top.has(text);
    const name = plain ? text : tokenizer.token(other);
    if (!top.has(name)) top.set(name, logprobs[other]);
  }
  return { text: decoder.push(id), logprob: logprobs[id], top: Object.fromEntries(top) };
}

// The same of a text that spells the token otherwise than the vocabulary would have.
function spelled(token, text) {
  if (!token.top || token.text === text) return { ...token, text };
  const { [token.text]: own, ...others } = token.top;
  return { text, logprob: token.logprob, top: { ...others, [text]: own } };
}

// Yields { text, tokens } for each token written after a start; with `logprobs`, tokens whose text is
// shown by then have their log-probabilities.
export function* write(engine, tokenizer, start, settings, logprobs = null) {
  const generator = generatorOf(settings.seed, settings.index), scanner = new StopScanner(settings.stop);
  const history = start.ids.slice();
  let { logits, decoder } = start, decoded = 0, shown = 0;
  const waiting = [];
  for (let left = settings.length; left > 0; left--) {
    const token = choose(tokenizer, settings, logits, history, generator);
    history.push(token);
    let piece;
    if (logprobs === null) {
      piece = decoder.push(token);
    } else {
      const noted = noteToken(tokenizer, decoder, token, logits, logprobs, true);
      piece = noted.text;
      waiting.push({ at: decoded, noted });
      decoded += piece.length;
    }
    let text = scanner.push(piece);
    if (left === 1 && !scanner.stopped) text += scanner.push(decoder.finish()) + scanner.finish();
    shown += text.length;
    let ready = 0;
    while (ready < waiting.length && (waiting[ready].at < shown || !waiting[ready].noted.text)) ready++;
    yield { text, tokens: waiting.splice(0, ready).map(({ noted }) => noted) };
    if (scanner.stopped) return;
    if (left > 1) {
      engine.read(token);
      logits = engine.logits();
    }
  }
}

function choose(tokenizer, settings, given, history, generator) {
  let logits = new Float64Array(given);
  if (tokenizer.unknownId !== null) logits[tokenizer.unknownId] = -Infinity;
  for (const rule of settings.rules) logits = rule.apply(logits, history, settings.values);
  const within = settings.mode === "spaces" && !tokenizer.startsWord(history[history.length - 1]);
  return settings.mode === "argmax" || within ? argmax(logits) : draw(logits, generator.uniform());
}
