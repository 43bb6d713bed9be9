// The interface as a page: each path with its fields, from /openapi.json.
"use strict";

function made(name, text = "", className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function typeOf(schema, all) {
  if (schema.$ref) return typeOf(all[schema.$ref.split("/").pop()], all);
  if (schema.anyOf) return schema.anyOf.map(one => typeOf(one, all)).join(" or ");
  if (schema.enum) return schema.enum.map(one => JSON.stringify(one)).join(", ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items, all)}`;
  const limits = [
    ["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["maxLength", "length ≤"],
  ].filter(([name]) => schema[name] !== undefined && Math.abs(schema[name]) < 2 ** 53)
    .map(([name, sign]) => `${sign} ${schema[name]}`);
  return [schema.type || "anything", ...limits].join(" ");
}

function table(fields, all) {
  const box = made("div", "", "scroll"), whole = made("table");
  const head = whole.createTHead().insertRow();
  for (const label of ["field", "type", "default", ""]) head.append(made("th", label));
  const body = whole.createTBody();
  for (const { name, schema, needed, about } of fields) {
    const row = body.insertRow();
    row.insertCell().append(made("code", name));
    row.insertCell().textContent = typeOf(schema, all);
    const standard = needed ? "must be given" : JSON.stringify(schema.default ?? null);
    row.insertCell().textContent = standard === "null" ? "" : standard;
    row.insertCell().textContent = about || "";
  }
  box.append(whole);
  return box;
}

function fieldsOf(operation, all) {
  const told = (operation.parameters || []).map(({ name, schema, required, description }) =>
    ({ name, schema, needed: required, about: description }));
  const body = operation.requestBody?.content["application/json"].schema;
  if (!body) return told;
  const { properties, required = [] } = all[body.$ref.split("/").pop()];
  return told.concat(Object.entries(properties).map(([name, schema]) =>
    ({ name, schema, needed: required.includes(name), about: schema.description })));
}

async function show() {
  const schema = await (await fetch("/openapi.json")).json();
  const all = schema.components.schemas;
  document.getElementById("about").textContent = `${schema.info.title} ${schema.info.version}. ${schema.info.description}`;
  for (const [path, operations] of Object.entries(schema.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const card = made("section"), heading = made("h2");
      heading.append(made("span", method.toUpperCase(), "method"), path);
      card.append(heading, made("p", operation.description || operation.summary));
      const fields = fieldsOf(operation, all);
      if (fields.length) card.append(table(fields, all));
      document.getElementById("paths").append(card);
    }
  }
  document.body.dataset.ready = "yes";
}

show().catch(error => {
  document.getElementById("about").textContent = `The schema cannot be shown (${error.message}): see /openapi.json.`;
});
