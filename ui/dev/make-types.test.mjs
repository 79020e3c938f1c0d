import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { typeOf, typesOf } from "./make-types.mjs";

const file = (name) => readFileSync(new URL(`../src/api/${name}`, import.meta.url), "utf8");

describe("the types of the API", () => {
  it("are those of the committed document", () => {
    expect(file("types.ts")).toBe(typesOf(JSON.parse(file("openapi.json"))));
  });
  it("are made of what the document has", () => {
    expect(typeOf({ type: ["integer", "null"] })).toBe("number | null");
    expect(typeOf({ oneOf: [{ type: "null" }, { $ref: "#/components/schemas/Lock" }] })).toBe("null | Lock");
    expect(typeOf({ type: "array", items: { type: ["string", "null"] } })).toBe("(string | null)[]");
    expect(typeOf({ type: "object", required: ["a-b"], properties: { "a-b": { enum: ["x", "y"], type: "string" }, c: { type: "boolean" } } })).toBe('{\n  "a-b": "x" | "y";\n  c?: boolean;\n}');
    expect(() => typeOf({ type: "file" })).toThrow("No type");
  });
});
