import { describe, expect, it } from "vitest";
import { checkForm, nameError, parseRetention, printRetention, sourceError } from "./stream-form.ts";

describe("the form of a stream", () => {
  it("takes names that can stand in an address", () => {
    for (const good of ["ort", "sport/uhd-1", "a.b_c~d-e"]) expect(nameError(good)).toBe(null);
    for (const bad of ["", "a b", "/a", "a/", "a//b", "übung", 'a"b', "<script>", "a/../b", "x".repeat(201)]) expect(nameError(bad)).not.toBe(null);
  });
  it("takes sources that can be recorded", () => {
    for (const good of ["demo:", "udp://@239.1.1.1:1234", "https://origin.example.com/a.m3u8", "file:/a.ts?loop=1"]) expect(sourceError(good)).toBe(null);
    for (const bad of ["", "origin.example.com", "javascript:alert(1)", "https://", "udp://a b"]) expect(sourceError(bad)).not.toBe(null);
  });
  it("reads and writes retention", () => {
    expect(parseRetention("7d")).toBe(604_800);
    expect(parseRetention("36 hours")).toBe(129_600);
    expect(parseRetention("")).toBe(null);
    expect(parseRetention("5")).toBe(undefined);
    expect(parseRetention("10s")).toBe(undefined);
    for (const seconds of [90, 60, 3600, 86_400 * 7, 100_000]) expect(parseRetention(printRetention(seconds))).toBe(seconds);
    expect(printRetention(null)).toBe("");
  });
  it("collects every error at once", () => {
    expect(Object.keys(checkForm({ name: "", source: "", retention: "x" }, false).errors)).toEqual(["name", "source", "retention"]);
    expect(checkForm({ name: " a ", source: "demo: ", retention: "1d" }, true).input).toEqual({ name: "a", source: "demo:", retention_seconds: 86_400, paused: true });
  });
});
