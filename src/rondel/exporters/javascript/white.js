// White space as Python knows it, which is not quite that of JavaScript.

export const WHITE = "\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // the inside of a class

const ONLY = new RegExp(`^[${WHITE}]+$`), ENDS = new RegExp(`^[${WHITE}]+|[${WHITE}]+$`, "g");

export const isWhite = text => ONLY.test(text);

export const strip = text => text.replace(ENDS, "");
