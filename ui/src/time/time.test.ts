import { describe, expect, it } from "vitest";
import { formatBytes, formatClock, formatLength, formatMoment, offsetName, zoneName } from "./format.ts";
import { parseMoment } from "./parse.ts";
import { DAY_MS, HOUR_MS, isZone, momentOf, offsetMs, startOfDay, wallOf } from "./zone.ts";

const utc = (text: string): number => Date.parse(text);
const wall = (year: number, month: number, day: number, hour = 0, minute = 0) => ({ year, month, day, hour, minute, second: 0, ms: 0 });

describe("zones", () => {
  it("know their offset on both sides of a change", () => {
    expect(offsetMs("Europe/Berlin", utc("2026-03-29T00:59:59Z"))).toBe(HOUR_MS);
    expect(offsetMs("Europe/Berlin", utc("2026-03-29T01:00:00Z"))).toBe(2 * HOUR_MS);
    expect(offsetMs("America/New_York", utc("2026-11-01T05:59:59Z"))).toBe(-4 * HOUR_MS);
    expect(offsetMs("America/New_York", utc("2026-11-01T06:00:00Z"))).toBe(-5 * HOUR_MS);
    expect(offsetMs("Asia/Kolkata", utc("2026-07-01T00:00:00Z"))).toBe(5.5 * HOUR_MS);
    // Lord Howe's summer time is half an hour.
    expect(offsetMs("Australia/Lord_Howe", utc("2026-10-03T15:29:59Z"))).toBe(10.5 * HOUR_MS);
    expect(offsetMs("Australia/Lord_Howe", utc("2026-10-03T15:30:00Z"))).toBe(11 * HOUR_MS);
  });

  it("say when a reading comes twice or never", () => {
    expect(momentOf("Europe/Berlin", wall(2026, 10, 25, 2, 30))).toEqual({ ms: utc("2026-10-25T00:30:00Z"), kind: "twice" });
    expect(momentOf("Europe/Berlin", wall(2026, 3, 29, 2, 30))).toEqual({ ms: utc("2026-03-29T01:30:00Z"), kind: "never" });
    expect(momentOf("America/New_York", wall(2026, 11, 1, 1, 15))).toEqual({ ms: utc("2026-11-01T05:15:00Z"), kind: "twice" });
    expect(momentOf("Australia/Lord_Howe", wall(2026, 4, 5, 1, 45)).kind).toBe("twice");
    expect(momentOf("Australia/Lord_Howe", wall(2026, 4, 5, 1, 15)).kind).toBe("exact");
    expect(momentOf("Asia/Kolkata", wall(2026, 7, 1, 5, 30))).toEqual({ ms: utc("2026-07-01T00:00:00Z"), kind: "exact" });
  });

  it("give days of 23, 25 and 24.5 hours", () => {
    const length = (zone: string, at: string) => startOfDay(zone, utc(at), 1) - startOfDay(zone, utc(at));
    expect(length("Europe/Berlin", "2026-03-29T12:00:00Z")).toBe(23 * HOUR_MS);
    expect(length("Europe/Berlin", "2026-10-25T12:00:00Z")).toBe(25 * HOUR_MS);
    expect(length("Australia/Lord_Howe", "2026-04-05T02:00:00Z")).toBe(24.5 * HOUR_MS);
    expect(length("Europe/Berlin", "2026-06-01T12:00:00Z")).toBe(DAY_MS);
  });

  it("read back what they were asked", () => {
    for (const zone of ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]) {
      for (let ms = utc("2026-01-01T00:00:00Z"); ms < utc("2027-01-01T00:00:00Z"); ms += 7.25 * HOUR_MS) {
        const back = momentOf(zone, wallOf(zone, ms));
        if (back.kind === "exact") expect(back.ms).toBe(ms);
        else expect([ms, ms - HOUR_MS, ms - HOUR_MS / 2]).toContain(back.ms);
      }
    }
  });

  it("are known by name", () => {
    expect(isZone("Europe/Berlin")).toBe(true);
    expect(isZone("Mars/Olympus")).toBe(false);
  });
});

describe("the date field", () => {
  const nowMs = utc("2026-11-22T15:00:00Z");
  const read = (text: string, zone = "Europe/Berlin") => {
    const parsed = parseMoment(text, { nowMs, zone });
    return parsed.ok ? new Date(parsed.ms).toISOString() : parsed.message;
  };

  it.each([
    ["2014-08-27 18:15", "2014-08-27T16:15:00.000Z"],
    ["2014-08-27 18:15:30", "2014-08-27T16:15:30.000Z"],
    ["2014-08-27 18:15:30.5", "2014-08-27T16:15:30.500Z"],
    ["27.08.2014 18:15", "2014-08-27T16:15:00.000Z"],
    ["27.8.14, 18:15", "2014-08-27T16:15:00.000Z"],
    ["27 Aug 2014 18:15", "2014-08-27T16:15:00.000Z"],
    ["2014/08/27 18:15", "2014-08-27T16:15:00.000Z"],
    ["2014-08-27", "2014-08-26T22:00:00.000Z"],
    ["2014-08-27T18:15", "2014-08-27T16:15:00.000Z"],
    ["2014-08-27T18:15:00Z", "2014-08-27T18:15:00.000Z"],
    ["2014-08-27T18:15:00.123Z", "2014-08-27T18:15:00.123Z"],
    ["2014-08-27T18:15:00+05:30", "2014-08-27T12:45:00.000Z"],
    ["20140827T181500Z", "2014-08-27T18:15:00.000Z"],
    ["2014-08-27 18:15 UTC", "2014-08-27T18:15:00.000Z"],
    ["1409148900", "2014-08-27T14:15:00.000Z"],
    ["1409148900123", "2014-08-27T14:15:00.123Z"],
    ["-2h", "2026-11-22T13:00:00.000Z"],
    ["−2h", "2026-11-22T13:00:00.000Z"],
    ["-1h 30m", "2026-11-22T13:30:00.000Z"],
    ["-90min", "2026-11-22T13:30:00.000Z"],
    ["3 days ago", "2026-11-19T15:00:00.000Z"],
    ["yesterday 20:00", "2026-11-21T19:00:00.000Z"],
    ["Yesterday at 20:00", "2026-11-21T19:00:00.000Z"],
    ["yesterday", "2026-11-20T23:00:00.000Z"],
    ["today 08:00", "2026-11-22T07:00:00.000Z"],
    ["now", "2026-11-22T15:00:00.000Z"],
    ["15:15", "2026-11-22T14:15:00.000Z"],
    ["18:15", "2026-11-21T17:15:00.000Z"],
    ["18:15:30", "2026-11-21T17:15:30.000Z"],
  ])("reads %s", (text, expected) => expect(read(text)).toBe(expected));

  it("goes by the zone of the page", () => {
    expect(read("2026-07-01 12:00", "UTC")).toBe("2026-07-01T12:00:00.000Z");
    expect(read("2026-07-01 12:00", "Asia/Kolkata")).toBe("2026-07-01T06:30:00.000Z");
    expect(read("2026-07-01 12:00", "America/New_York")).toBe("2026-07-01T16:00:00.000Z");
  });

  it("takes the first of two readings and says so", () => {
    const parsed = parseMoment("2026-10-25 02:30", { nowMs, zone: "Europe/Berlin" });
    expect(parsed).toMatchObject({ ok: true, ms: utc("2026-10-25T00:30:00Z") });
    expect(parsed.ok && parsed.remark).toContain("twice");
    const skipped = parseMoment("2026-03-29 02:30", { nowMs, zone: "Europe/Berlin" });
    expect(skipped).toMatchObject({ ok: true, ms: utc("2026-03-29T01:30:00Z") });
  });

  it.each(["", "soon", "2026-02-30 10:00", "31.13.2020", "2026-01-01 25:00", "-3 fortnights", "99999999999999999", "<script>"])(
    "says what it does not understand: %s",
    (text) => expect(parseMoment(text, { nowMs, zone: "UTC" }).ok).toBe(false),
  );
});

describe("text", () => {
  it("tells apart the two readings when clocks go back", () => {
    expect(formatMoment(utc("2026-10-25T00:30:00Z"), "Europe/Berlin")).toMatch(/^2026-10-25 02:30:00 \S+/);
    expect(formatMoment(utc("2026-10-25T00:30:00Z"), "Europe/Berlin")).not.toBe(formatMoment(utc("2026-10-25T01:30:00Z"), "Europe/Berlin"));
    expect(formatMoment(utc("2026-10-25T02:30:00Z"), "Europe/Berlin")).toBe("2026-10-25 03:30:00");
  });
  it("names offsets", () => {
    expect(offsetName(utc("2026-07-01T00:00:00Z"), "Asia/Kolkata")).toBe("UTC+5:30");
    expect(offsetName(utc("2026-07-01T00:00:00Z"), "America/New_York")).toBe("UTC−4");
    expect(zoneName(0, "UTC")).toBe("UTC");
  });
  it("writes lengths and sizes", () => {
    expect(formatClock(3_723_000)).toBe("1:02:03");
    expect(formatClock(9_400)).toBe("0:09");
    expect(formatLength(90_000)).toBe("1 min 30 s");
    expect(formatLength(30 * DAY_MS)).toBe("30 d");
    expect(formatBytes(1_440_000)).toBe("1.4 MB");
    expect(formatBytes(999)).toBe("999 B");
    expect(formatBytes(999_960_000_000)).toBe("1.0 TB");
  });
});
