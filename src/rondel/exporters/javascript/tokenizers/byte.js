// Bytes of UTF-8.

import { spansOfBytes } from "../spans.js";
import { bytesOf, Utf8Decoder } from "../utf8.js";

export class Tokenizer {
  constructor() {
    this.unknownId = null;
    this.impliesSpace = false;
    this.spaceLed = null;
  }

  encode(text) {
    return bytesOf(text);
  }

  spans(text) {
    return spansOfBytes(text, bytesOf(text).fill(1));
  }

  decoder() {
    return new Decoder();
  }

  token(id) {
    return `0x${id.toString(16).toUpperCase().padStart(2, "0")}`;
  }

  startsWord(previous) {
    return previous >= 9 && previous <= 13 || previous === 32;
  }
}

class Decoder {
  constructor(utf8 = new Utf8Decoder()) {
    this.utf8 = utf8;
  }

  push(id) {
    return this.utf8.push([id]);
  }

  finish() {
    return this.utf8.finish();
  }

  copy() {
    return new Decoder(this.utf8.copy());
  }
}
