// Characters: those of the training text, or the 128 of ASCII.

import { isWhite } from "../white.js";

const UNKNOWN = "<unk>", SUBSTITUTE = 26;

export class Tokenizer {
  constructor({ charset, characters }) {
    const ascii = charset === "ascii";
    this.tokens = [...(ascii ? [] : [UNKNOWN]), ...characters];
    this.unknownId = ascii ? SUBSTITUTE : 0;
    this.ids = new Map(this.tokens.map((token, id) => [token, id]));
    this.impliesSpace = false;
    this.spaceLed = null;
  }

  encode(text) {
    return Array.from(text, character => this.ids.get(character) ?? this.unknownId);
  }

  spans(text) {
    let end = 0;
    return Array.from(text, character => [end, end += character.length]);
  }

  decoder() {
    return new Decoder(this.tokens);
  }

  token(id) {
    return this.tokens[id];
  }

  startsWord(previous) {
    return isWhite(this.tokens[previous]);
  }
}

class Decoder {
  constructor(tokens) {
    this.tokens = tokens;
  }

  push(id) {
    const token = this.tokens[id];
    return token === UNKNOWN ? "\ufffd" : token;
  }

  finish() {
    return "";
  }

  copy() {
    return this;
  }
}
