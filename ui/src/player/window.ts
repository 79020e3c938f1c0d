// Which playlist to ask for so that a moment can be played. Pure. Windows are short: the server refuses long ones, and
// a short playlist is read quickly. They begin on whole minutes, so that caches between here and the server serve many.

import { HOUR_MS, MINUTE_MS } from "../time/zone.ts";

export interface Source {
  kind: "live" | "growing" | "finished";
  /** File name of the playlist, beside the stream's path. */
  file: string;
  fromMs: number;
  /** Where a finished window ends and the next one is to be opened. */
  toMs: number | null;
}

/** Nearer to the live edge than this is live. */
export const LIVE_MS = 20_000;
/** A window from here on grows to the live edge; one from longer ago is finished. */
const GROWING_MS = 3 * HOUR_MS;
/** A finished window: so much before the moment, for stepping back, and so much in all. */
const LEAD_MS = 5 * MINUTE_MS;
const LENGTH_MS = 2 * HOUR_MS;

/** `untilMs`: the player cannot seek in a playlist that grows, as browsers' own HLS often cannot; one up to here is whole. */
export function sourceFor(utcMs: number, liveEdgeMs: number | null, nowMs: number, untilMs: number | null = null): Source {
  if (liveEdgeMs !== null && nowMs - liveEdgeMs < 2 * MINUTE_MS && utcMs >= liveEdgeMs - LIVE_MS) {
    return { kind: "live", file: "index.fmp4.m3u8", fromMs: liveEdgeMs, toMs: null };
  }
  const fromMs = Math.floor((utcMs - LEAD_MS) / MINUTE_MS) * MINUTE_MS;
  if (nowMs - fromMs < GROWING_MS) {
    const lengthMs = untilMs === null ? 0 : Math.floor(Math.min(LENGTH_MS, untilMs - fromMs) / 1000) * 1000;
    if (lengthMs > 0) return { kind: "finished", file: `archive-${fromMs / 1000}-${lengthMs / 1000}.fmp4.m3u8`, fromMs, toMs: fromMs + lengthMs };
    return { kind: "growing", file: `index-${fromMs / 1000}-now.fmp4.m3u8`, fromMs, toMs: null };
  }
  return { kind: "finished", file: `archive-${fromMs / 1000}-${LENGTH_MS / 1000}.fmp4.m3u8`, fromMs, toMs: fromMs + LENGTH_MS };
}
