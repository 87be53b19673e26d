// The API document: openapi.json as a page.

const main = document.getElementById("document");

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const paragraphs = (text = "") => text.split(/\n\s*\n/).filter(Boolean).map((part) => element("p", {}, ...coded(part)));
const coded = (text) => text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));

function table(rows) {
  return element("table", {}, ...rows.map(([name, note, text, example]) => {
    const cell = element("td", {}, ...coded(text));
    if (example) cell.append(element("pre", {}, typeof example === "string" ? example : JSON.stringify(example)));
    return element("tr", {}, element("td", {}, element("code", {}, name), element("br"), element("small", {}, note)), cell);
  }));
}

function render(api) {
  const resolve = (schema) => (schema?.$ref ? schema.$ref.slice(2).split("/").reduce((node, key) => node[key], api) : schema ?? {});
  const kind = (schema) => {
    if (schema.$ref) return kind(resolve(schema));
    if (schema.contentMediaType === "application/json") return "JSON";
    if (schema.contentEncoding === "base64") return "base64";
    if (schema.format === "binary") return "file";
    if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
    if (schema.prefixItems) return `[${schema.prefixItems.map(kind).join(", ")}]`;
    if (schema.type === "array") return `list of ${schema.items?.$ref ? schema.items.$ref.split("/").pop() : kind(schema.items ?? {})}`;
    return { string: "text", integer: "whole number" }[schema.type] ?? schema.type ?? "";
  };
  const properties = (reference) => {
    const schema = resolve(reference);
    const optional = (name) => (schema.required && !schema.required.includes(name) ? ", optional" : "");
    return Object.entries(schema.properties ?? {}).map(([name, field]) => [
      name, kind(field) + optional(name), resolve(field).description ?? field.description ?? "", (field.examples ?? [field.example])[0],
    ]);
  };
  const answers = (responses) => Object.entries(responses).map(([status, { description, content = {} }]) =>
    [status, Object.keys(content).join(", "), description]);

  main.replaceChildren(...paragraphs(api.info.description));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const id = `${method}${path.replaceAll("/", "-")}`;
      const article = element("article", { id },
        element("h2", {}, element("span", { class: "method" }, method.toUpperCase()), element("code", {}, path)),
        element("p", {}, operation.summary ?? ""), ...paragraphs(operation.description));
      const section = (title, ...nodes) => article.append(element("h3", {}, title), ...nodes);
      for (const [type, { schema }] of Object.entries(operation.requestBody?.content ?? {})) section(`Send (${type})`, table(properties(schema)));
      if (operation.parameters) section("Headers", table(operation.parameters.map((p) => [p.name, p.required ? "" : "optional", p.description ?? ""])));
      for (const { source } of operation["x-codeSamples"] ?? []) section("Example", element("pre", {}, source.replaceAll("http://127.0.0.1:8000", location.origin)));
      section("Answers", table(answers(operation.responses)));
      const json = operation.responses[200]?.content?.["application/json"];
      if (json) section("As JSON", table(properties(json.schema)));
      main.append(article);
    }
  }
  const refusal = element("article", { id: "refusal" }, element("h2", {}, "When something is wrong"));
  refusal.append(...paragraphs("Every answer that is not a success is one JSON document; `field` names the part of the request at fault."),
    element("pre", {}, JSON.stringify({ error: api.components.schemas.Refusal.properties.error.examples[0] }, null, 2)));
  main.append(refusal);
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

fetch("openapi.json").then((answer) => answer.json()).then(render)
  .catch((error) => main.replaceChildren(element("p", { class: "problem" }, `openapi.json did not load: ${error.message}`)));
