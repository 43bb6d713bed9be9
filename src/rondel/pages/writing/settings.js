// What is set: the fields of the sampling rules, made from the server's own schema, and the address.

const SLIDERS = { temperature: [0, 2, 0.05], top_p: [0.05, 1, 0.01] };
const $ = id => document.getElementById(id);

// Fields in the address beside those of the rules, and the elements that hold them.
const FIELDS = { model: "model", prime: "prime", length: "length", seed: "seed", mode: "mode", until: "until", colour: "colour", a: "first", b: "second", gaps: "gapped" };

// Without a prototype, so that a name is there only if it was put there: names come from addresses.
const named = fields => Object.assign(Object.create(null), fields);

let rules = named({});

export function makeRules(schema) {
  const fields = schema.components.schemas.CompletionRequest.properties;
  rules = named(Object.fromEntries(Object.entries(fields).filter(([, field]) => field["x-sampling-rule"])));
  const order = name => (name in SLIDERS ? 0 : 1);
  const names = Object.keys(rules).sort((a, b) => order(a) - order(b));
  $("rules").replaceChildren(...names.map(name => field(name, rules[name])));
}

function field(name, schema) {
  const label = document.createElement("label"), input = document.createElement("input");
  const numeric = schema.anyOf?.find(one => one.type !== "null") || schema;
  label.className = "field";
  label.title = schema.description || "";
  input.id = `rule-${name}`;
  input.value = schema.default;
  label.append(name.replace("_", " "), input);
  if (!(name in SLIDERS)) {
    input.type = "number";
    input.min = numeric.minimum ?? numeric.exclusiveMinimum ?? "";
    input.max = numeric.maximum ?? "";
    input.step = numeric.type === "integer" ? 1 : "any";
    return label;
  }
  const output = document.createElement("output");
  [input.min, input.max, input.step] = SLIDERS[name];
  input.type = "range";
  input.value = schema.default;
  const show = () => { output.value = Number(input.value).toFixed(2); };
  input.addEventListener("input", show);
  show();
  label.append(output);
  return label;
}

const element = name => $(name in rules ? `rule-${name}` : FIELDS[name]);
const standard = named({});

export function readAddress() {
  for (const name of [...Object.keys(FIELDS), ...Object.keys(rules)]) standard[name] = element(name).value;
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of given) {
    if (!(name in standard)) continue;
    const field = element(name);
    field.value = value;
    // What a list does not have, it stays without.
    if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = standard[name];
    field.dispatchEvent(new Event("input"));
  }
}

// The address of all that is set otherwise than at first, with the seed of what was written last.
export function address(seed) {
  const told = new URLSearchParams();
  for (const name of Object.keys(standard)) {
    const value = element(name).value;
    if (value !== standard[name] || name === "model") told.set(name, value);
  }
  if (seed !== null) told.set("seed", seed);
  return `${location.href.split("#")[0]}#${told}`;
}

export function writeAddress() {
  history.replaceState(null, "", address(null));
}

export function request() {
  const number = name => Number($(name).value);
  const told = Object.fromEntries(Object.keys(rules).map(name => [name, Number(element(name).value)]));
  const seed = $("seed").value === "" ? Math.floor(Math.random() * 2 ** 31) : number("seed");
  const stop = $("until").value.replaceAll("\\n", "\n");
  return {
    model: $("model").value,
    max_tokens: number("length"),
    mode: $("mode").value,
    seed,
    ...(stop ? { stop } : {}),
    ...told,
  };
}
