// The text on the page: a span for each token, which knows how likely it was, and its colour.

const SURPRISAL_MOST = 10;  // bits, where the colour is at its strongest
const MOST_SHOWN = 6;

export class Paper {
  constructor(element, here) {
    this.element = element;
    this.here = here;
    this.clear();
    const at = event => event.target.closest?.("[data-n]");
    element.addEventListener("pointerover", event => at(event) && this.point(Number(at(event).dataset.n)));
    element.addEventListener("click", event => at(event) && this.point(Number(at(event).dataset.n)));
    element.addEventListener("keydown", event => this.move(event));
  }

  clear() {
    this.tokens = [];
    this.spans = [];
    this.values = null;
    this.by = null;
    this.at = -1;
    this.length = 0;
    this.element.replaceChildren();
    this.here.replaceChildren();
  }

  get text() {
    return this.tokens.map(token => token.text).join("");
  }

  // Tokens are appended, never drawn again: a long text stays smooth.
  add(tokens) {
    const follow = this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 40;
    const fresh = document.createDocumentFragment();
    for (const token of tokens) {
      token.begin = this.length;
      this.length += token.text.length;
      const span = document.createElement("span");
      span.textContent = token.text;
      span.dataset.n = this.tokens.length;
      if (token.prime) span.className = "prime";
      this.tokens.push(token);
      this.spans.push(span);
      if (this.by === "surprisal") this.paint(this.spans.length - 1);
      fresh.append(span);
    }
    this.element.append(fresh);
    if (follow) this.element.scrollTop = this.element.scrollHeight;
  }

  point(n) {
    if (n < 0 || n >= this.tokens.length) return;
    this.spans[this.at]?.classList.remove("here");
    this.at = n;
    this.spans[n].classList.add("here");
    this.describe(n);
  }

  move(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || !this.tokens.length) return;
    event.preventDefault();
    const last = this.tokens.length - 1;
    const wanted = this.at < 0 ? (event.key === "ArrowLeft" || event.key === "End" ? last : 0) : this.at + steps[event.key];
    this.point(Math.max(0, Math.min(last, wanted)));
    this.spans[this.at].scrollIntoView({ block: "nearest" });
  }

  describe(n) {
    const token = this.tokens[n];
    const head = document.createElement("div"), name = document.createElement("span");
    name.className = "token";
    name.textContent = shown(token.text);
    head.append(name, ` ${told(token)}`);
    const list = document.createElement("ol");
    const others = Object.entries(token.top || {}).sort((a, b) => b[1] - a[1]).slice(0, MOST_SHOWN);
    for (const [text, logprob] of others) list.append(line(text, Math.exp(logprob), text === token.text));
    const value = document.createElement("p");
    value.className = "faint";
    if (this.values) value.textContent = `${this.label}: ${this.values[n].toFixed(2)}`;
    this.here.replaceChildren(head, list, value);
  }

  colour(by, label = "", values = null) {
    this.by = by;
    this.label = label;
    this.values = values;
    this.spans.forEach((_, n) => this.paint(n));
    if (this.at >= 0) this.describe(this.at);
  }

  paint(n) {
    const { logprob } = this.tokens[n];
    let colour = "";
    if (this.by === "surprisal" && logprob !== null && logprob !== undefined) {
      colour = shade(-logprob / Math.LN2 / SURPRISAL_MOST);
    } else if (this.by === "unit" && this.values && this.values[n] !== undefined) {
      colour = shade(this.values[n]);
    }
    this.spans[n].style.background = colour;
  }

  // Values for each token, from those of other tokens of the same text: that of the last they share.
  aligned(tokens, values) {
    const ends = [], last = [];
    let end = 0;
    for (const text of tokens) ends.push(end += text.length);
    let at = 0;
    for (const token of this.tokens) {
      const own = token.begin + Math.max(1, token.text.length);
      while (at < ends.length - 1 && ends[at] < own) at++;
      last.push(own <= end ? values[at] : undefined);
    }
    return last;
  }
}

export const shown = text => text === "\n" ? "↵" : text === " " ? "␣" : text === "\t" ? "⇥" : text === "" ? "…" : text;

function told(token) {
  if (token.logprob === undefined) return "";
  if (token.logprob === null) return "begins the text: nothing predicts it";
  const bits = -token.logprob / Math.LN2;
  return `${percent(Math.exp(token.logprob))} likely, ${bits.toFixed(2)} bits${token.prime ? ", of what you gave" : ""}`;
}

export const percent = share => `${(100 * share).toFixed(share < 0.001 ? 3 : 1)} %`;

function line(text, probability, own) {
  const item = document.createElement("li"), name = document.createElement("code");
  const bar = document.createElement("div"), length = document.createElement("i"), number = document.createElement("span");
  name.textContent = shown(text);
  bar.className = "bar";
  length.style.width = `${100 * probability}%`;
  bar.append(length);
  number.textContent = percent(probability);
  if (own) item.className = "own";
  item.append(name, bar, number);
  return item;
}

// Blue below 0, orange above: told apart by the colour-blind too, and on light paper and dark.
export function shade(value) {
  const strength = Math.min(1, Math.abs(value));
  return value < 0 ? `rgb(64 132 204 / ${0.75 * strength})` : `rgb(226 112 38 / ${0.75 * strength})`;
}
