// Makes src/api/types.ts of src/api/openapi.json, the document of the server's code: node dev/make-types.mjs
// In: a document as utoipa writes it. Out: an interface for each schema, and the operations with what they take and give.

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HEAD = `// Made of openapi.json, the document of the admin API, by dev/make-types.mjs: run \`make api-types\`, change nothing here.
`;

const nameOf = (reference) => reference.split("/").pop();
const key = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
const comment = (text, indent = "") => (text ? `${indent}/** ${text.trim().replace(/\s*\n\s*/g, " ").replaceAll("*/", "*∕")} */\n` : "");
const union = (types) => [...new Set(types)].join(" | ");

/** A schema as a type. */
export function typeOf(schema, indent = "") {
  if (schema.$ref) return nameOf(schema.$ref);
  const several = schema.oneOf ?? schema.anyOf;
  if (several) return union(several.map((s) => typeOf(s, indent)));
  if (schema.enum) return union(schema.enum.map((value) => JSON.stringify(value)));
  const kinds = Array.isArray(schema.type) ? schema.type : [schema.type];
  return union(
    kinds.map((kind) => {
      switch (kind) {
        case "null":
          return "null";
        case "string":
          return "string";
        case "integer":
        case "number":
          return "number";
        case "boolean":
          return "boolean";
        case "array": {
          const item = typeOf(schema.items, indent);
          return item.includes(" ") ? `(${item})[]` : `${item}[]`;
        }
        case "object":
          return members(schema, indent);
        default:
          throw new Error(`No type is known for ${JSON.stringify(schema)}`);
      }
    }),
  );
}

function members(schema, indent) {
  const required = new Set(schema.required ?? []);
  const inner = `${indent}  `;
  const lines = Object.entries(schema.properties ?? {}).map(([name, of]) => `${comment(of.description, inner)}${inner}${key(name)}${required.has(name) ? "" : "?"}: ${typeOf(of, inner)};\n`);
  return `{\n${lines.join("")}${indent}}`;
}

/** One operation: what stands in its address, its query, its body, and what it answers. */
function operation(of) {
  const parameters = of.parameters ?? [];
  const group = (place) => {
    const some = parameters.filter((p) => p.in === place);
    if (some.length === 0) return null;
    return `{ ${some.map((p) => `${key(p.name)}${p.required ? "" : "?"}: ${typeOf(p.schema)}`).join("; ")} }`;
  };
  const body = of.requestBody?.content?.["application/json"]?.schema;
  const good = Object.entries(of.responses).find(([status]) => status.startsWith("2"));
  const answer = good?.[1].content?.["application/json"]?.schema;
  const parts = [["path", group("path")], ["query", group("query")], ["body", body && typeOf(body)], ["answer", answer ? typeOf(answer) : "null"]];
  return `{ ${parts.filter(([, type]) => type).map(([name, type]) => `${name}: ${type}`).join("; ")} }`;
}

/** The whole file. */
export function typesOf(document) {
  const parts = [HEAD];
  for (const [name, schema] of Object.entries(document.components.schemas).sort()) {
    const isObject = schema.type === "object";
    parts.push(`${comment(schema.description)}export ${isObject ? `interface ${name} ${members(schema, "")}` : `type ${name} = ${typeOf(schema)};`}\n`);
  }
  const operations = Object.entries(document.paths).sort().flatMap(([path, methods]) => Object.entries(methods).map(([method, of]) => `${comment(of.summary ?? of.description, "  ")}  ${JSON.stringify(`${method.toUpperCase()} ${path}`)}: ${operation(of)};\n`));
  parts.push(`/** Every operation, by method and address. */\nexport interface Operations {\n${operations.join("")}}\n`);
  return parts.join("\n");
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const folder = resolve(fileURLToPath(import.meta.url), "../../src/api");
  const document = JSON.parse(readFileSync(`${folder}/openapi.json`, "utf8"));
  writeFileSync(`${folder}/types.ts`, typesOf(document));
}
