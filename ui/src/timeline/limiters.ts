// The two grey limiters and the part of the archive between them. Pure. A selection begins and ends on whole seconds,
// because the length in an export's URL is in whole seconds: what is selected is exactly what is downloaded.

import { SECOND_MS } from "../time/zone.ts";

export interface Selection {
  fromMs: number;
  toMs: number;
}

export type Side = "from" | "to";

export const MIN_SELECTION_MS = SECOND_MS;

export const wholeSecond = (ms: number): number => Math.round(ms / SECOND_MS) * SECOND_MS;

export const lengthMs = (selection: Selection): number => selection.toMs - selection.fromMs;

/** A selection of two moments in any order. */
export function selectionOf(aMs: number, bMs: number): Selection {
  const fromMs = wholeSecond(Math.min(aMs, bMs));
  return { fromMs, toMs: Math.max(wholeSecond(Math.max(aMs, bMs)), fromMs + MIN_SELECTION_MS) };
}

/** One limiter goes to `ms`; it stops a second before the other one. */
export function moved(selection: Selection, side: Side, ms: number): Selection {
  const at = wholeSecond(ms);
  return side === "from"
    ? { fromMs: Math.min(at, selection.toMs - MIN_SELECTION_MS), toMs: selection.toMs }
    : { fromMs: selection.fromMs, toMs: Math.max(at, selection.fromMs + MIN_SELECTION_MS) };
}

/** Both go, the length stays. */
export function shifted(selection: Selection, byMs: number): Selection {
  const by = wholeSecond(byMs);
  return { fromMs: selection.fromMs + by, toMs: selection.toMs + by };
}

/**
 * The keys I and O: this limiter is put at `ms`. If the other one lies on the wrong side, or there is none yet, the
 * other one goes to the end of what is shown (or, where `ms` lies beyond that, one minute away).
 */
export function marked(selection: Selection | null, side: Side, ms: number, shown: Selection): Selection {
  const at = wholeSecond(ms);
  const other = side === "from" ? selection?.toMs : selection?.fromMs;
  if (other !== undefined && (side === "from" ? other > at : other < at)) return selectionOf(at, other);
  const edge = side === "from" ? shown.toMs : shown.fromMs;
  const fits = side === "from" ? edge > at + MIN_SELECTION_MS : edge < at - MIN_SELECTION_MS;
  return selectionOf(at, fits ? edge : at + (side === "from" ? 60 : -60) * SECOND_MS);
}

/** The selection within `[firstMs, lastMs]`; null where nothing is left. */
export function within(selection: Selection, firstMs: number, lastMs: number): Selection | null {
  const fromMs = Math.max(selection.fromMs, Math.ceil(firstMs / SECOND_MS) * SECOND_MS);
  const toMs = Math.min(selection.toMs, Math.floor(lastMs / SECOND_MS) * SECOND_MS);
  return toMs - fromMs >= MIN_SELECTION_MS ? { fromMs, toMs } : null;
}
