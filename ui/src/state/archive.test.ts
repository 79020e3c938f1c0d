import { afterEach, describe, expect, it, vi } from "vitest";
import type { View } from "../timeline/scale.ts";
import { strips } from "../timeline/ranges.ts";
import { Archive } from "./archive.ts";

const DAY = 86_400_000;
const now = Date.parse("2026-11-22T00:00:00Z");
const first = now - 30 * DAY;

/** A server that joins spans as the contract says: no further apart than the resolution, gaps counted. */
function serve(spans: { from_ms: number; to_ms: number }[], limit = Infinity) {
  const asked: URL[] = [];
  vi.stubGlobal("fetch", async (input: string) => {
    const url = new URL(input, "http://server");
    asked.push(url);
    const n = (key: string) => Number(url.searchParams.get(key));
    const ranges: { from_ms: number; to_ms: number; gaps?: number }[] = [];
    for (const span of spans) {
      const from = Math.max(span.from_ms, n("from_ms"));
      const to = Math.min(span.to_ms, n("to_ms"));
      if (to <= from) continue;
      const last = ranges[ranges.length - 1];
      if (last && from - last.to_ms <= n("resolution_ms")) {
        last.to_ms = to;
        last.gaps = (last.gaps ?? 0) + 1;
      } else ranges.push({ from_ms: from, to_ms: to });
    }
    return new Response(JSON.stringify({ from_ms: 0, to_ms: 0, resolution_ms: 0, ranges: ranges.slice(0, limit), truncated: ranges.length > limit }));
  });
  return asked;
}

function cut(gaps: number) {
  const every = (30 * DAY) / (gaps + 1);
  return Array.from({ length: gaps + 1 }, (_, i) => ({ from_ms: Math.round(first + i * every), to_ms: Math.round(first + (i + 1) * every - (i < gaps ? 4000 : 0)) }));
}

const settled = async (archive: Archive, view: View) => {
  archive.want([view]);
  await vi.waitFor(() => expect(archive.lookup(view).unknown).toEqual([]), { timeout: 4000 });
};

afterEach(() => vi.unstubAllGlobals());

describe("an archive", () => {
  it("shows each of a few short gaps where it lies, although the server joins over them", async () => {
    const spans = cut(50);
    const asked = serve(spans);
    const archive = new Archive("news", () => now, () => now);
    const view = { startMs: first, msPerPx: (30 * DAY) / 1300, widthPx: 1300 };
    await settled(archive, view);
    const gaps = strips(archive.lookup(view).spans, [], view, now).filter((s) => s.kind === "gap");
    expect(gaps.length).toBe(50);
    for (const [i, gap] of gaps.entries()) expect(Math.abs(gap.x0 - (spans[i]!.to_ms - first) / view.msPerPx)).toBeLessThan(2);
    expect(asked.length).toBeLessThan(14);
    archive.destroy();
  });

  it("asks little and keeps little for 10,000 gaps", async () => {
    const asked = serve(cut(10_000));
    const archive = new Archive("news", () => now, () => now);
    const view = { startMs: first, msPerPx: (30 * DAY) / 1300, widthPx: 1300 };
    await settled(archive, view);
    const { spans } = archive.lookup(view);
    expect(spans.length).toBeLessThan(4100);
    const drawn = strips(spans, [], view, now);
    expect(drawn.filter((s) => s.kind === "mixed" || s.kind === "gap").reduce((sum, s) => sum + s.x1 - s.x0, 0)).toBeGreaterThan(1200);
    expect(asked.length).toBeLessThan(14);
    archive.destroy();
  });

  it("goes on where an answer was cut off", async () => {
    serve(cut(500), 100);
    const archive = new Archive("news", () => now, () => now);
    const view = { startMs: first, msPerPx: (30 * DAY) / 1300, widthPx: 1300 };
    await settled(archive, view);
    expect(archive.lookup(view).spans.at(-1)?.toMs).toBe(now);
    archive.destroy();
  });

  it("knows exactly what is around a moment", async () => {
    const spans = cut(100);
    serve(spans);
    const archive = new Archive("news", () => now, () => now);
    const gap = { from: spans[40]!.to_ms, to: spans[41]!.from_ms };
    expect(await archive.around(gap.from + 1500, first)).toEqual({ recorded: false, beforeMs: gap.from, nextMs: gap.to });
    expect((await archive.around(gap.to, first)).recorded).toBe(true);
    expect((await archive.around(gap.from, first)).recorded).toBe(false);
    expect(await archive.nextEdge(gap.to, 1, first)).toBe(spans[41]!.to_ms);
    expect(await archive.nextEdge(gap.to, -1, first)).toBe(gap.from);
    expect(await archive.nextEdge(first, -1, first)).toBe(null);
  });

  it("asks again when the server was away", async () => {
    let away = true;
    const spans = cut(3);
    serve(spans);
    const answer = globalThis.fetch;
    vi.stubGlobal("fetch", (input: string) => (away ? Promise.reject(new TypeError("away")) : answer(input)));
    const archive = new Archive("news", () => now, () => now);
    const view = { startMs: now - DAY, msPerPx: DAY / 1000, widthPx: 1000 };
    archive.want([view]);
    await new Promise((done) => setTimeout(done, 150));
    expect(archive.lookup(view).unknown.length).toBeGreaterThan(0);
    away = false;
    await settled(archive, view);
    archive.destroy();
  });
});
