// Text as its bytes: those that are no UTF-8 stand in it as U+DC80 to U+DCFF, as in Python.

const ESCAPED = 0xdc00;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const encoder = new TextEncoder();

export const isLone = character => character.length === 1 && LONE.test(character);

// The bytes of a text; those of U+FFFD for half a surrogate pair that stands for none.
export function bytesOf(text) {
  if (!LONE.test(text)) return [...encoder.encode(text)];
  return Array.from(text).flatMap(character => {
    const code = character.codePointAt(0);
    return isLone(character) && code >= 0xdc80 && code <= 0xdcff ? [code - ESCAPED] : [...encoder.encode(character)];
  });
}

// Puts characters together byte by byte.
export class Utf8Decoder {
  constructor(begun = []) {
    this.begun = begun; // the bytes of a character that is not whole
  }

  push(bytes) {
    let text = "";
    for (const byte of bytes) text += this.#take(byte);
    return text;
  }

  #take(byte) {
    let text = "";
    if (this.begun.length && !this.#continues(byte)) text = this.finish();
    if (!this.begun.length && !(byte >= 0xc2 && byte <= 0xf4)) {
      return text + String.fromCharCode(byte < 0x80 ? byte : ESCAPED + byte);
    }
    this.begun.push(byte);
    const [first] = this.begun, size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (this.begun.length < size) return text;
    const code = this.begun.reduce((sum, one, n) => n ? sum << 6 | one & 63 : one & 0xff >> size + 1, 0);
    this.begun = [];
    return text + String.fromCodePoint(code);
  }

  // Neither overlong forms, nor surrogates, nor numbers beyond Unicode.
  #continues(byte) {
    if (byte < 0x80 || byte > 0xbf) return false;
    if (this.begun.length > 1) return true;
    const [first] = this.begun;
    return !(first === 0xe0 && byte < 0xa0 || first === 0xed && byte > 0x9f || first === 0xf0 && byte < 0x90 || first === 0xf4 && byte > 0x8f);
  }

  finish() {
    const text = String.fromCharCode(...this.begun.map(byte => ESCAPED + byte));
    this.begun = [];
    return text;
  }

  copy() {
    return new Utf8Decoder([...this.begun]);
  }
}
