// Words, with the joiner ￭ where punctuation touches them; see rondel/text/tokenizers/word.py.

import { isWhite, WHITE } from "../white.js";

const UNKNOWN = "<unk>", JOINER = "\uffed", LITERAL_JOINER = "<U+FFED>";

const CHUNK = `[^${WHITE}]+|(?!(?<=[^${WHITE}]) (?=[^${WHITE}]))([${WHITE}])\\1*`;
const CHUNK_OF_TOKENS = `[^${WHITE}]+|\\n`;

const LETTER = "[\\p{L}\\p{N}_\\p{M}\\u200c\\u200d]";
const WORD = `(?<!${LETTER})(?<!${UNKNOWN})${UNKNOWN}(?!${LETTER})|${LETTER}+(?:['’]${LETTER}+)*`;
const WORD_OR_PUNCTUATION = `(?<word>${WORD})|${JOINER}|(?<mark>[^${WHITE}])\\k<mark>*\\p{M}*`;
const OPENING = /^[\p{Ps}\p{Pi}]/u;

export class Tokenizer {
  constructor({ word_split: split, lowercase, tokens }) {
    this.marked = split === "punctuation";
    this.lowercase = lowercase;
    this.tokens = tokens;
    this.ids = new Map(tokens.map((token, id) => [token, id]));
    this.chunk = new RegExp(split === "tokens" ? CHUNK_OF_TOKENS : CHUNK, "gu");
    this.written = tokens.map(token => writtenAs(token, this.marked));
    this.unknownId = 0;
    this.impliesSpace = true;
    this.spaceLed = null;
  }

  encode(text) {
    const ids = [];
    for (const [chunk] of this.#lowered(text).matchAll(this.chunk)) {
      for (const token of this.#split(chunk)) ids.push(this.ids.get(token) ?? 0);
    }
    return ids;
  }

  spans(text) {
    const spans = [];
    for (const match of this.#lowered(text).matchAll(this.chunk)) {
      let end = match.index;
      for (const token of this.#split(match[0])) spans.push([end, end += writtenAs(token, this.marked).text.length]);
    }
    return this.lowercase ? asBeforeLowering(spans, text) : spans;
  }

  decoder() {
    return new Decoder(this.written);
  }

  token(id) {
    return this.tokens[id];
  }

  startsWord() {
    return true;
  }

  #lowered(text) {
    return this.lowercase ? text.toLowerCase() : text;
  }

  #split(chunk) {
    return this.marked && !isWhite(chunk) ? splitPunctuation(chunk) : [chunk];
  }
}

class Decoder {
  constructor(written, glued = true) {
    this.written = written;
    this.glued = glued;
  }

  push(id) {
    const { text, before, after } = this.written[id];
    const space = this.glued || before ? "" : " ";
    this.glued = after;
    return space + text;
  }

  finish() {
    return "";
  }

  copy() {
    return new Decoder(this.written, this.glued);
  }
}

// Words and punctuation of a text without white space, joiners where they touch.
function splitPunctuation(chunk) {
  const found = [...chunk.matchAll(new RegExp(WORD_OR_PUNCTUATION, "gu"))];
  const isWord = found.map(match => match.groups.word !== undefined);
  const leansOn = found.map(([token]) => OPENING.test(token));
  return found.map(([token], n) => {
    if (isWord[n]) return token;
    const before = n > 0 && (isWord[n - 1] || !leansOn[n - 1]);
    const after = n + 1 < found.length && (isWord[n + 1] || leansOn[n]);
    return (before ? JOINER : "") + (token === JOINER ? LITERAL_JOINER : token) + (after ? JOINER : "");
  });
}

// A token's text, and whether it goes without a space before and after it.
function writtenAs(token, marked) {
  if (isWhite(token)) return { text: token, before: true, after: true };
  if (!marked) return { text: token, before: false, after: false };
  const text = token.replace(/^\uffed+|\uffed+$/g, "");
  return { text: text === LITERAL_JOINER ? JOINER : text, before: token.startsWith(JOINER), after: token.endsWith(JOINER) };
}

// Spans of the lowered text as spans of the text, some of whose letters became two.
function asBeforeLowering(spans, text) {
  const places = [];
  let at = 0;
  for (const character of text) {
    const place = [at, at += character.length];
    for (let n = character.toLowerCase().length; n > 0; n--) places.push(place);
  }
  return spans.map(([begin, end]) => [places[begin][0], places[end - 1][1]]);
}
