import { describe, expect, it } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../time/zone.ts";
import { lengthMs, marked, moved, selectionOf, shifted, within } from "./limiters.ts";
import { jumps, overHole, positionAt, utcAt } from "./playhead.ts";
import { needsFiner, RangeCache } from "./range-cache.ts";
import { around, clipped, coarsened, gapsBetween, normalized, type Span, strips } from "./ranges.ts";
import { between, centredOn, clampView, endMs, fit, MAX_SPAN_MS, MIN_SPAN_MS, pan, resized, revealed, spanMs, timeAt, type View, xOf, zoomAt } from "./scale.ts";
import { edgesNear, nextEdge, snapped } from "./snap.ts";
import { ruler } from "./ticks.ts";

const utc = (text: string): number => Date.parse(text);
const view = (from: string | number, lengthMs: number, widthPx = 1000): View => ({
  startMs: typeof from === "number" ? from : utc(from),
  msPerPx: lengthMs / widthPx,
  widthPx,
});

describe("scale", () => {
  const day = view("2026-06-01T00:00:00Z", DAY_MS);

  it("goes there and back", () => {
    expect(xOf(day, utc("2026-06-01T12:00:00Z"))).toBe(500);
    expect(timeAt(day, 250)).toBe(utc("2026-06-01T06:00:00Z"));
  });

  it("keeps the moment under the pointer when zooming, all the way from years to seconds and back", () => {
    let v = fit(day, utc("2010-01-01"), utc("2026-01-01"));
    const x = 333;
    const fixed = timeAt(v, x);
    for (let i = 0; i < 100; i += 1) v = zoomAt(v, 1.4, x);
    expect(spanMs(v)).toBeCloseTo(MIN_SPAN_MS, 3);
    expect(Math.abs(timeAt(v, x) - fixed)).toBeLessThan(1);
    for (let i = 0; i < 100; i += 1) v = zoomAt(v, 1 / 1.4, x);
    expect(spanMs(v)).toBeCloseTo(MAX_SPAN_MS, 3);
    expect(Math.abs(timeAt(v, x) - fixed)).toBeLessThan(1);
  });

  it("pans, centres, resizes and reveals", () => {
    expect(pan(day, 100).startMs).toBe(day.startMs + 2.4 * HOUR_MS);
    expect(xOf(centredOn(day, 5), 5)).toBe(500);
    expect(endMs(resized(day, 300))).toBeCloseTo(endMs(day), 3);
    expect(revealed(day, day.startMs + HOUR_MS * 5)).toBe(day);
    expect(xOf(revealed(day, endMs(day) + HOUR_MS), endMs(day) + HOUR_MS)).toBeCloseTo(950, 6);
    expect(xOf(revealed(day, day.startMs - HOUR_MS), day.startMs - HOUR_MS)).toBeCloseTo(50, 6);
  });

  it("does not leave the past", () => {
    const now = utc("2026-06-01T12:00:00Z");
    const far = clampView(view(now + 5 * DAY_MS, DAY_MS), now);
    expect(far.startMs).toBe(now - 0.1 * DAY_MS);
    expect(clampView(view(-5, DAY_MS), now).startMs).toBe(0);
  });

  it("animates zoom around the point that rests", () => {
    const target = zoomAt(day, 16, 800);
    const middle = between(day, target, 0.5);
    expect(timeAt(middle, 800)).toBeCloseTo(timeAt(day, 800), 0);
    expect(middle.msPerPx).toBeCloseTo(day.msPerPx / 4, 6);
    expect(between(day, pan(day, 100), 0.5).startMs).toBe(pan(day, 50).startMs);
  });
});

describe("ruler", () => {
  const labels = (v: View, zone: string) => ruler(v, zone).major.filter((t) => t.ms >= v.startMs && t.ms < endMs(v)).map((t) => t.label);

  it("chooses units that fit", () => {
    expect(labels(view("2026-06-01T10:00:00Z", 2000), "UTC")).toContain("10:00:01.0");
    expect(labels(view("2026-06-01T10:00:00Z", 10 * MINUTE_MS), "UTC").slice(0, 3)).toEqual(["10:00", "10:01", "10:02"]);
    expect(labels(view("2026-06-01T10:00:00Z", 6 * HOUR_MS), "UTC").slice(0, 2)).toEqual(["10:00", "11:00"]);
    expect(labels(view("2026-06-01T10:00:00Z", DAY_MS), "UTC")).toContain("Tue 2 Jun");
    expect(labels(view("2026-06-01T00:00:00Z", 8 * DAY_MS), "UTC").slice(0, 2)).toEqual(["Mon 1", "Tue 2"]);
    expect(labels(view("2026-01-01T00:00:00Z", 300 * DAY_MS), "UTC").slice(0, 3)).toEqual(["2026", "Feb", "Mar"]);
    expect(labels(view("2010-01-01T00:00:00Z", 10 * 365 * DAY_MS), "UTC").slice(0, 2)).toEqual(["2010", "2011"]);
  });

  it("never crowds, at any zoom", () => {
    for (let length = MIN_SPAN_MS; length <= MAX_SPAN_MS; length *= 1.37) {
      const v = view("2019-03-20T07:00:00Z", length, 900);
      const { major, minor } = ruler(v, "Europe/Berlin");
      expect(major.length).toBeLessThan(16);
      expect(major.length).toBeGreaterThan(0);
      expect(minor.length).toBeLessThan(220);
      for (let i = 1; i < major.length; i += 1) expect(xOf(v, major[i]!.ms) - xOf(v, major[i - 1]!.ms)).toBeGreaterThan(40);
    }
  });

  it("leaves out the hour that is skipped, and shows the one that comes twice", () => {
    const spring = labels(view("2026-03-28T23:00:00Z", 6 * HOUR_MS), "Europe/Berlin");
    expect(spring).toEqual(["Sun 29 Mar", "01:00", "03:00", "04:00", "05:00", "06:00"]);
    const autumn = labels(view("2026-10-24T22:00:00Z", 6 * HOUR_MS), "Europe/Berlin");
    expect(autumn.map((l) => l.slice(0, 5))).toEqual(["Sun 2", "01:00", "02:00", "02:00", "03:00", "04:00"]);
    expect(autumn[2]).not.toBe(autumn[3]);
    const york = labels(view("2026-03-08T05:00:00Z", 4 * HOUR_MS), "America/New_York");
    expect(york).toContain("03:00");
    expect(york).not.toContain("02:00");
  });

  it("keeps to midnights of days of 23, 25 and 24.5 hours", () => {
    for (const [zone, from] of [["Europe/Berlin", "2026-10-20T00:00:00Z"], ["Australia/Lord_Howe", "2026-04-01T00:00:00Z"], ["America/New_York", "2026-03-04T00:00:00Z"]] as const) {
      const days = ruler(view(from, 9 * DAY_MS), zone).major;
      for (const day of days) {
        const clock = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(day.ms);
        expect(clock).toBe("00:00");
      }
      const lengths = new Set(days.slice(1).map((d, i) => (d.ms - days[i]!.ms) / HOUR_MS));
      expect(lengths.size).toBe(2);
    }
  });

  it("puts ticks on the wall clock's half hours where zones are odd", () => {
    expect(labels(view("2026-06-01T00:00:00Z", 6 * HOUR_MS), "Asia/Kolkata").slice(0, 2)).toEqual(["06:00", "07:00"]);
    expect(ruler(view("2026-06-01T00:00:00Z", 6 * HOUR_MS), "Asia/Kolkata").major.find((t) => t.label === "06:00")?.ms).toBe(utc("2026-06-01T00:30:00Z"));
  });

  it("names days above clock times", () => {
    const { sections } = ruler(view("2026-06-01T20:00:00Z", 8 * HOUR_MS), "UTC");
    expect(sections.map((s) => s.label)).toEqual(["Mon 1 Jun 2026", "Tue 2 Jun 2026"]);
  });
});

describe("strips", () => {
  const kinds = (spans: Span[], v: View, end = Infinity) => strips(spans, [], v, end).map((s) => `${s.kind} ${s.x0}-${s.x1}`);
  const v = view(0, 100_000, 100); // a second each

  it("draws what is there", () => {
    expect(kinds([{ fromMs: 10_000, toMs: 50_000 }], v)).toEqual(["gap 0-10", "recorded 10-50", "gap 50-100"]);
    expect(kinds([], v)).toEqual(["gap 0-100"]);
    expect(kinds([{ fromMs: -5_000, toMs: 500_000 }], v, 60_000)).toEqual(["recorded 0-100"]);
    expect(kinds([{ fromMs: -5_000, toMs: 50_000 }], v, 60_000)).toEqual(["recorded 0-50", "gap 50-60", "future 60-100"]);
  });

  it("shows a gap narrower than a pixel, wherever it lies", () => {
    for (let at = 20_000; at < 23_000; at += 37) {
      for (const length of [1, 40, 300, 700, 1_100, 1_900]) {
        const drawn = strips([{ fromMs: 0, toMs: at }, { fromMs: at + length, toMs: 100_000 }], [], v, Infinity);
        const gaps = drawn.filter((s) => s.kind === "gap");
        expect(gaps.length).toBe(1);
        const x = at / 1000;
        expect(gaps[0]!.x1).toBeGreaterThan(x);
        expect(gaps[0]!.x0).toBeLessThan(x + length / 1000 + 0.001);
      }
    }
  });

  it("shows a recording narrower than a pixel, wherever it lies", () => {
    for (let at = 20_000; at < 23_000; at += 37) {
      for (const length of [1, 40, 300, 700, 1_100, 1_900]) {
        expect(strips([{ fromMs: at, toMs: at + length }], [], v, Infinity).filter((s) => s.kind === "recorded").length).toBe(1);
      }
    }
  });

  it("shows a crowd of gaps as a mixture, not as one colour", () => {
    const spans = Array.from({ length: 1000 }, (_, i) => ({ fromMs: i * 100, toMs: i * 100 + 80 }));
    const drawn = strips(spans, [], v, Infinity);
    expect(drawn.every((s) => s.kind === "mixed")).toBe(true);
    expect(drawn[0]!.red).toBe(0.25);
    expect(drawn.length).toBe(1);
    const inverse = strips(spans.map((s) => ({ fromMs: s.fromMs, toMs: s.fromMs + 5 })), [], v, Infinity);
    expect(inverse[10]?.red ?? inverse[0]!.red).toBe(0.75);
  });

  it("shows gaps that the server folded", () => {
    const drawn = strips([{ fromMs: 0, toMs: 20_000 }, { fromMs: 20_000, toMs: 20_900, gaps: 3 }, { fromMs: 20_900, toMs: 100_000 }], [], v, Infinity);
    expect(drawn.map((s) => s.kind)).toEqual(["recorded", "gap", "recorded"]);
  });

  it("says what it does not know yet, and gives lone gaps the width asked for", () => {
    expect(strips([{ fromMs: 0, toMs: 50_000 }], [{ fromMs: 50_000, toMs: 100_000 }], v, Infinity).map((s) => s.kind)).toEqual(["recorded", "unknown"]);
    const wide = strips([{ fromMs: 0, toMs: 30_100 }, { fromMs: 30_200, toMs: 100_000 }], [], v, Infinity, 2);
    expect(wide).toMatchObject([{ x1: 30 }, { kind: "gap", x0: 30, x1: 32 }, { x0: 32 }]);
  });

  it("covers each pixel once at every zoom, with 10,000 gaps", () => {
    let seed = 7;
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
    const spans: Span[] = [];
    let at = 0;
    while (spans.length < 10_000) {
      const toMs = at + 10_000 + random() * 480_000;
      spans.push({ fromMs: at, toMs });
      at = toMs + 200 + random() * 20_000;
    }
    for (let length = at * 1.2; length > MIN_SPAN_MS; length /= 3) {
      const drawn = strips(spans, [], view(at * 0.4, length, 1500), Infinity);
      let x = 0;
      for (const strip of drawn) {
        expect(strip.x0).toBe(x);
        x = strip.x1;
      }
      expect(x).toBe(1500);
      const inView = gapsBetween(spans, at * 0.4, at * 0.4 + length).length;
      if (inView > 0) expect(drawn.some((s) => s.kind !== "recorded")).toBe(true);
    }
  });

  it("is made coarser without losing a gap or changing how much is recorded", () => {
    let seed = 11;
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
    const spans: Span[] = [];
    for (let at = 0; spans.length < 5000; ) {
      const toMs = at + 1 + random() ** 3 * 8000;
      spans.push({ fromMs: at, toMs });
      at = toMs + 1 + random() ** 8 * 9000;
    }
    const end = spans.at(-1)!.toMs;
    const recorded = (of: readonly Span[]) => of.reduce((sum, s) => sum + s.toMs - s.fromMs, 0);
    for (const resolution of [500, 2000, 30_000]) {
      const coarse = coarsened(spans, resolution);
      expect(coarse.length).toBeLessThanOrEqual(end / resolution + 2);
      expect(coarse.reduce((sum, s) => sum + (s.gaps ?? 0), coarse.length)).toBe(spans.length);
      expect(recorded(coarse)).toBeCloseTo(recorded(spans), 0);
      for (let i = 1; i < coarse.length; i += 1) expect(coarse[i]!.fromMs).toBeGreaterThan(coarse[i - 1]!.toMs);
    }
    expect(coarsened(spans, 1)).toEqual(spans);
  });

  it("normalizes, clips and finds neighbours", () => {
    expect(normalized([{ fromMs: 5, toMs: 9 }, { fromMs: 0, toMs: 5, gaps: 1 }, { fromMs: 20, toMs: 20 }])).toEqual([{ fromMs: 0, toMs: 9, gaps: 1 }]);
    expect(clipped([{ fromMs: 0, toMs: 10 }], 5, 7)).toEqual([{ fromMs: 5, toMs: 7 }]);
    const spans = [{ fromMs: 10, toMs: 20 }, { fromMs: 30, toMs: 40 }];
    expect(around(spans, 15)).toEqual({ recorded: true, beforeMs: 15, nextMs: 15 });
    expect(around(spans, 25)).toEqual({ recorded: false, beforeMs: 20, nextMs: 30 });
    expect(around(spans, 40)).toEqual({ recorded: false, beforeMs: 40, nextMs: null });
    expect(gapsBetween(spans, 0, 50)).toEqual([{ fromMs: 0, toMs: 10 }, { fromMs: 20, toMs: 30 }, { fromMs: 40, toMs: 50 }]);
  });
});

describe("snapping", () => {
  const v = view(0, 100_000, 100);
  const spans = [{ fromMs: 10_000, toMs: 20_000 }, { fromMs: 30_000, toMs: 40_000 }];
  it("sticks to the nearest edge within reach", () => {
    expect(snapped(18_000, edgesNear(spans, 18_000), v, 5)).toEqual({ ms: 20_000, what: "recording" });
    expect(snapped(25_000, edgesNear(spans, 25_000), v, 5).what).toBe("recording");
    expect(snapped(25_000, edgesNear(spans, 25_000), v, 4)).toEqual({ ms: 25_000, what: null });
  });
  it("walks from edge to edge", () => {
    expect(nextEdge(spans, 10_000, 1)).toBe(20_000);
    expect(nextEdge(spans, 20_000, 1)).toBe(30_000);
    expect(nextEdge(spans, 30_000, -1)).toBe(20_000);
    expect(nextEdge(spans, 40_000, 1)).toBe(null);
  });
});

describe("limiters", () => {
  const shown = { fromMs: 0, toMs: 600_000 };
  it("rest on whole seconds and never cross", () => {
    expect(selectionOf(5_400, 1_600)).toEqual({ fromMs: 2_000, toMs: 5_000 });
    expect(selectionOf(5_000, 5_000)).toEqual({ fromMs: 5_000, toMs: 6_000 });
    expect(moved({ fromMs: 2_000, toMs: 5_000 }, "from", 9_000)).toEqual({ fromMs: 4_000, toMs: 5_000 });
    expect(moved({ fromMs: 2_000, toMs: 5_000 }, "to", 0)).toEqual({ fromMs: 2_000, toMs: 3_000 });
    expect(lengthMs(shifted({ fromMs: 2_000, toMs: 5_000 }, 777))).toBe(3_000);
  });
  it("are set by I and O", () => {
    expect(marked(null, "from", 100_000, shown)).toEqual({ fromMs: 100_000, toMs: 600_000 });
    expect(marked({ fromMs: 100_000, toMs: 600_000 }, "to", 200_000, shown)).toEqual({ fromMs: 100_000, toMs: 200_000 });
    expect(marked({ fromMs: 100_000, toMs: 200_000 }, "from", 300_000, shown)).toEqual({ fromMs: 300_000, toMs: 600_000 });
    expect(marked(null, "from", 600_000, shown)).toEqual({ fromMs: 600_000, toMs: 660_000 });
  });
  it("stay within the archive", () => {
    expect(within({ fromMs: 0, toMs: 9_000 }, 1_500, 7_900)).toEqual({ fromMs: 2_000, toMs: 7_000 });
    expect(within({ fromMs: 0, toMs: 9_000 }, 20_000, 30_000)).toBe(null);
  });
});

describe("cache of ranges", () => {
  it("asks for each tile once, by level", () => {
    const cache = new RangeCache();
    const v = view("2026-06-01T00:00:00Z", HOUR_MS);
    const now = utc("2026-07-01T00:00:00Z");
    const wanted = cache.wanted(v, now, now);
    expect(wanted.length).toBeGreaterThan(0);
    expect(wanted.every((t) => t.resolutionMs <= v.msPerPx && t.resolutionMs > v.msPerPx / 2)).toBe(true);
    for (const tile of wanted) cache.put(tile, [{ fromMs: tile.fromMs, toMs: tile.toMs }], now, now);
    expect(cache.wanted(v, now, now)).toEqual([]);
    expect(cache.lookup(v)).toMatchObject({ unknown: [], spans: [{ fromMs: wanted[0]!.fromMs, toMs: wanted.at(-1)!.toMs }] });
    expect(cache.wanted(v, now + 61_000, now).length).toBe(wanted.length);
    expect(cache.wanted(zoomAt(v, 2, 500), now, now).length).toBeGreaterThan(0);
  });

  it("shows the coarser level until the finer one is there", () => {
    const cache = new RangeCache();
    const v = view("2026-06-01T00:00:00Z", HOUR_MS);
    const now = utc("2026-07-01T00:00:00Z");
    for (const tile of cache.wanted(v, now, now)) cache.put(tile, [{ fromMs: tile.fromMs, toMs: tile.toMs }], now, now);
    const near = cache.lookup(zoomAt(v, 8, 500));
    expect(near.unknown).toEqual([]);
    expect(near.spans.length).toBe(1);
    expect(cache.lookup(pan(v, 100_000)).unknown.length).toBeGreaterThan(0);
  });

  it("asks again for the tile of the live edge, and not for the future", () => {
    const cache = new RangeCache();
    const now = utc("2026-06-01T00:30:00Z");
    const v = view("2026-06-01T00:00:00Z", HOUR_MS);
    for (const tile of cache.wanted(v, now, now)) {
      expect(tile.fromMs).toBeLessThanOrEqual(now);
      cache.put(tile, [], now, now);
    }
    expect(cache.wanted(v, now + 1000, now)).toEqual([]);
    expect(cache.wanted(v, now + 6000, now + 6000).length).toBe(1);
  });

  it("forgets what was not used for longest", () => {
    const cache = new RangeCache(8);
    const now = utc("2026-07-01T00:00:00Z");
    for (let i = 0; i < 50; i += 1) cache.put(RangeCache.tile({ level: 10, index: i }), [], now, now);
    expect(cache.lookup({ startMs: 0, msPerPx: 1024, widthPx: 1000 }).unknown.length).toBe(1);
    expect(cache.lookup({ startMs: 49 * 1024 * 1024, msPerPx: 1024, widthPx: 1000 }).unknown.length).toBe(0);
  });

  it("knows when folded gaps must be looked at more closely", () => {
    expect(needsFiner([{ fromMs: 0, toMs: 100_000, gaps: 4 }], 1000)).toBe(true);
    expect(needsFiner([{ fromMs: 0, toMs: 1_000, gaps: 4 }], 1000)).toBe(false);
    expect(needsFiner([{ fromMs: 0, toMs: 100_000 }], 1000)).toBe(false);
  });
});

describe("playhead", () => {
  it("leaves a hole in which no picture can be shown", () => {
    // As they were buffered where a recording went on after its process was killed.
    const buffered = [{ start: 0.04, end: 2.045333 }, { start: 2.08, end: 4.08 }];
    expect(overHole(buffered, 2.04)).toBeCloseTo(2.081, 6);
    expect(overHole(buffered, 2.06)).toBeCloseTo(2.081, 6);
    expect(overHole(buffered, 0)).toBeCloseTo(0.041, 6);
    // A picture is there, or is still to come.
    expect(overHole(buffered, 1.9)).toBe(null);
    expect(overHole(buffered, 4.07)).toBe(null);
    expect(overHole([{ start: 3, end: 5 }], 2.06)).toBe(null);
    expect(overHole([], 2)).toBe(null);
  });

  const placed = [
    { start: 0, duration: 6, utcMs: 1_000_000 },
    { start: 6, duration: 6, utcMs: 1_006_000 },
    { start: 12, duration: 6, utcMs: 1_100_000 },
  ];
  it("tells the time of a position", () => {
    expect(utcAt(placed, 3)).toBe(1_003_000);
    expect(utcAt(placed, 11.5)).toBe(1_011_500);
    expect(utcAt(placed, 12)).toBe(1_100_000);
    expect(utcAt([], 3)).toBe(null);
  });
  it("finds the position of a time, and jumps over gaps", () => {
    expect(positionAt(placed, 1_007_500)).toEqual({ position: 7.5, skippedMs: 0 });
    expect(positionAt(placed, 1_050_000)).toEqual({ position: 12, skippedMs: 50_000 });
    expect(positionAt(placed, 999_000)).toBe(null);
    expect(positionAt(placed, 1_106_000)).toBe(null);
    expect(jumps(placed)).toEqual([{ fromMs: 1_012_000, toMs: 1_100_000 }]);
  });
});
