import { describe, expect, it } from "vitest";
import type { Track } from "../api/types.ts";
import { parseRoute, printRoute } from "../state/route.ts";
import { playable } from "./codecs.ts";
import { sentenceOf } from "./errors.ts";
import { extended, parsePlaylist } from "./native.ts";
import { sourceFor } from "./window.ts";

const now = Date.parse("2026-11-22T15:00:00Z");
const MIN = 60_000;

describe("which playlist", () => {
  it("is the live one at the live edge only", () => {
    expect(sourceFor(now - 10_000, now - 6_000, now).kind).toBe("live");
    expect(sourceFor(now - 60_000, now - 6_000, now).kind).toBe("growing");
    // A stream that stopped an hour ago has no live.
    expect(sourceFor(now - 60 * MIN, now - 60 * MIN, now).kind).toBe("growing");
  });
  it("begins on a whole minute before the moment and stays far below a day", () => {
    const source = sourceFor(now - 50 * MIN + 1234, now, now);
    expect(source.file).toBe(`index-${(now - 55 * MIN) / 1000}-now.fmp4.m3u8`);
    const old = sourceFor(now - 100 * 24 * 60 * MIN, now, now);
    expect(old).toMatchObject({ kind: "finished", file: `archive-${old.fromMs / 1000}-7200.fmp4.m3u8` });
    expect(old.toMs! - old.fromMs).toBe(120 * MIN);
    // Where a playlist that grows cannot be sought in, a finished one up to the live edge is taken.
    const short = sourceFor(now - 50 * MIN, now - 5500, now, now - 5500);
    expect(short).toMatchObject({ kind: "finished", file: `archive-${(now - 55 * MIN) / 1000}-${55 * 60 - 6}.fmp4.m3u8`, toMs: now - 6000 });
    expect(sourceFor(now - 170 * MIN, now, now, now).toMs).toBe(now - 55 * MIN);
    expect(sourceFor(now - 1000, now, now, now).kind).toBe("live");
    // A finished window never reaches into the present.
    for (let ago = 0; ago < 400; ago += 7) {
      const s = sourceFor(now - ago * MIN, now, now);
      if (s.kind === "finished") expect(s.toMs!).toBeLessThan(now);
    }
  });
});

describe("a playlist that the browser plays by itself", () => {
  const first = "#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T15:00:00Z\n#EXTINF:6.000,\na.m4s\n#EXTINF:4.5,\nb.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T16:00:00Z\n#EXTINF:6,\nc.m4s\n";
  it("is read with its gaps", () => {
    expect(parsePlaylist(first)).toEqual([
      { start: 0, duration: 6, utcMs: now },
      { start: 6, duration: 4.5, utcMs: now + 6000 },
      { start: 10.5, duration: 6, utcMs: now + 60 * MIN },
    ]);
    expect(parsePlaylist("#EXTM3U\n#EXTINF:6,\na.ts\n")).toEqual([]);
  });
  it("goes on where it was", () => {
    const known = parsePlaylist(first);
    // A live window has slid: its positions are its own, those of the element go on.
    const slid = parsePlaylist("#EXT-X-PROGRAM-DATE-TIME:2026-11-22T16:00:00Z\n#EXTINF:6,\nc.m4s\n#EXTINF:6,\nd.m4s\n");
    expect(extended(known, slid)).toEqual([...known, { start: 16.5, duration: 6, utcMs: now + 60 * MIN + 6000 }]);
    expect(extended([], slid)).toEqual(slid);
  });
});

describe("codecs", () => {
  const track = (id: string, kind: "video" | "audio", codec: string, codec_name: string): Track => ({ id, kind, codec, codec_name, language: null, bitrate_bps: null });
  const h264 = track("v1", "video", "avc1.64001f", "H.264");
  const hevc = track("v1", "video", "hvc1.1.6.L93.B0", "H.265");
  const aac = track("a1", "audio", "mp4a.40.2", "AAC");
  const ac3 = track("a2", "audio", "ac-3", "AC-3");
  const usual = (type: string) => /avc1|mp4a/.test(type);

  it("asks for what the browser can play", () => {
    expect(playable([h264, aac], usual)).toEqual({ tracks: null, refusal: null, remark: null });
    expect(playable([h264, aac, ac3], usual)).toMatchObject({ tracks: ["v1", "a1"], refusal: null });
    expect(playable([h264, aac, ac3], usual).remark).toContain("AC-3");
    expect(playable([hevc, aac], usual).refusal).toContain("H.265 (hvc1.1.6.L93.B0)");
    expect(playable([hevc, ac3], usual).refusal).toContain("plays neither H.265 (hvc1.1.6.L93.B0) nor AC-3 (ac-3).");
    expect(playable([], usual)).toEqual({ tracks: null, refusal: null, remark: null });
  });
});

describe("errors", () => {
  it("are sentences", () => {
    for (const [type, details, status] of [["networkError", "x", 404], ["networkError", "x", null], ["networkError", "x", 503], ["mediaError", "x", null], ["otherError", "x", null]] as const) {
      expect(sentenceOf(type, details, status)).toMatch(/^[A-Z].*[.…]$/);
    }
  });
});

describe("the address bar", () => {
  it("reads what it wrote", () => {
    const route = { page: null, stream: "sport/uhd-1", tab: "dvr", tMs: now + 123, startMs: now, spanMs: 3_600_000, inMs: now, outMs: now + 5000 } as const;
    expect(printRoute(route)).toBe("?stream=sport/uhd-1&t=2026-11-22T15:00:00.123Z&start=2026-11-22T15:00:00Z&span=3600&in=2026-11-22T15:00:00Z&out=2026-11-22T15:00:05Z");
    expect(parseRoute(printRoute(route))).toEqual(route);
    const odd = { ...route, stream: "a b&c=d/é", tab: "info", tMs: null, startMs: null, spanMs: null, inMs: null, outMs: null } as const;
    expect(parseRoute(printRoute(odd))).toEqual(odd);
  });
  it("takes nonsense for nothing", () => {
    expect(parseRoute("?stream=a&tab=x&t=soon&span=-4")).toMatchObject({ stream: "a", tab: "dvr", tMs: null, spanMs: null });
    expect(parseRoute("?page=api")).toMatchObject({ page: "api", stream: null });
    expect(parseRoute("?page=x").page).toBe(null);
    expect(parseRoute("?stream=a&t=1409148900").tMs).toBe(1409148900000);
  });
});
