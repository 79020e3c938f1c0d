// Snapping: a dragged edge sticks to what is worth sticking to. Pure.

import { indexAt, type Span } from "./ranges.ts";
import type { View } from "./scale.ts";

export type SnapTarget = "recording" | "playhead" | "lock" | "live" | "tick" | "limiter";

export interface Candidate {
  ms: number;
  what: SnapTarget;
}

/** The nearest candidate within `tolerancePx`, or the moment itself. */
export function snapped(ms: number, candidates: Iterable<Candidate>, view: View, tolerancePx = 8): { ms: number; what: SnapTarget | null } {
  let best: Candidate | null = null;
  let distance = tolerancePx * view.msPerPx;
  for (const candidate of candidates) {
    const away = Math.abs(candidate.ms - ms);
    if (away < distance || (away === distance && !best)) {
      best = candidate;
      distance = away;
    }
  }
  return best ? { ms: best.ms, what: best.what } : { ms, what: null };
}

/** Beginnings and ends of recordings around a moment: the only ones of many that can be nearest. */
export function edgesNear(spans: readonly Span[], ms: number): Candidate[] {
  const at = indexAt(spans, ms);
  const found: Candidate[] = [];
  for (const span of [spans[at - 1], spans[at], spans[at + 1]]) {
    if (span) found.push({ ms: span.fromMs, what: "recording" }, { ms: span.toMs, what: "recording" });
  }
  return found;
}

/** The next beginning or end of a recording before (-1) or after (1) a moment. */
export function nextEdge(spans: readonly Span[], ms: number, direction: 1 | -1): number | null {
  const edges = edgesNear(spans, ms).map((c) => c.ms);
  const wanted = edges.filter((edge) => (direction === 1 ? edge > ms + 0.5 : edge < ms - 0.5));
  if (wanted.length === 0) return null;
  return direction === 1 ? Math.min(...wanted) : Math.max(...wanted);
}
