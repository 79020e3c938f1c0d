// What is recorded, at the resolution of the screen. In: spans and a view. Out: strips of whole pixels. Neither a gap
// nor a recording is ever lost for being narrower than a pixel.

import { type View, xOf } from "./scale.ts";

/** Half-open. `gaps`: so many gaps inside were folded by the server, because they lie within its resolution. */
export interface Span {
  fromMs: number;
  toMs: number;
  gaps?: number;
}

/** `mixed`: recordings and gaps too close together to be drawn side by side; `red` is the share drawn as gap. */
export type StripKind = "recorded" | "gap" | "mixed" | "unknown" | "future";

export interface Strip {
  x0: number;
  x1: number;
  kind: StripKind;
  red: number;
}

/** Sorts, drops what is empty, joins what touches or overlaps. Counts of folded gaps are added up. */
export function normalized(spans: readonly Span[]): Span[] {
  const sorted = spans.filter((s) => s.toMs > s.fromMs).sort((a, b) => a.fromMs - b.fromMs);
  const joined: Span[] = [];
  for (const span of sorted) {
    const last = joined[joined.length - 1];
    if (last && span.fromMs <= last.toMs) {
      const gaps = (last.gaps ?? 0) + (span.gaps ?? 0);
      joined[joined.length - 1] = withGaps({ fromMs: last.fromMs, toMs: Math.max(last.toMs, span.toMs) }, gaps);
    } else joined.push(span);
  }
  return joined;
}

export const withGaps = (span: Span, gaps: number): Span => (gaps > 0 ? { ...span, gaps } : { fromMs: span.fromMs, toMs: span.toMs });

/** The part of the spans within `[fromMs, toMs)`. */
export function clipped(spans: readonly Span[], fromMs: number, toMs: number): Span[] {
  const found: Span[] = [];
  for (const span of spans) {
    const from = Math.max(span.fromMs, fromMs);
    const to = Math.min(span.toMs, toMs);
    if (to > from) found.push(withGaps({ fromMs: from, toMs: to }, span.gaps ?? 0));
  }
  return found;
}

/** Holes between spans within `[fromMs, toMs)`. */
export function gapsBetween(spans: readonly Span[], fromMs: number, toMs: number): Span[] {
  const found: Span[] = [];
  let at = fromMs;
  for (const span of spans) {
    if (span.toMs <= fromMs) continue;
    if (span.fromMs >= toMs) break;
    if (span.fromMs > at) found.push({ fromMs: at, toMs: span.fromMs });
    at = Math.max(at, span.toMs);
  }
  if (at < toMs) found.push({ fromMs: at, toMs });
  return found;
}

/** Index of the span that holds the moment, or of the first one after it (`spans.length` if there is none). */
export function indexAt(spans: readonly Span[], ms: number): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]!.toMs <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether the moment is recorded, and if not, the nearest recorded moments on both sides. */
export function around(spans: readonly Span[], ms: number): { recorded: boolean; beforeMs: number | null; nextMs: number | null } {
  const at = indexAt(spans, ms);
  const span = spans[at];
  if (span && span.fromMs <= ms) return { recorded: true, beforeMs: ms, nextMs: ms };
  return { recorded: false, beforeMs: spans[at - 1]?.toMs ?? null, nextMs: span?.fromMs ?? null };
}

/**
 * Strips for `widthPx` pixels. `spans` sorted and disjoint; `unknown` are periods that were not asked for yet; behind
 * `knownEndMs` lies the future. `minPx` is the least width of a lone gap.
 */
export function strips(
  spans: readonly Span[],
  unknown: readonly Span[],
  view: View,
  knownEndMs: number,
  minPx = 1,
): Strip[] {
  const width = Math.max(0, Math.round(view.widthPx));
  const covered = new Float32Array(width);
  const gapsIn = new Uint16Array(width);
  const spansIn = new Uint16Array(width);
  const first = Math.max(0, indexAt(spans, view.startMs) - 1);

  let previousEnd: number | null = null;
  for (let i = first; i < spans.length; i += 1) {
    const span = spans[i]!;
    const x0 = xOf(view, span.fromMs);
    const x1 = xOf(view, span.toMs);
    if (previousEnd !== null) countIfNarrow(gapsIn, previousEnd, x0, width);
    if (x0 >= width) break;
    cover(covered, x0, x1, width);
    countIfNarrow(spansIn, x0, x1, width);
    if (span.gaps) spread(gapsIn, x0, x1, width);
    previousEnd = x1;
  }

  const future = xOf(view, knownEndMs);
  const kinds = new Uint8Array(width);
  const reds = new Float32Array(width);
  for (let c = 0; c < width; c += 1) {
    const gaps = gapsIn[c]!;
    const crowded = gaps > 1 || (gaps === 1 && ((gapsIn[c - 1] ?? 0) > 0 || (gapsIn[c + 1] ?? 0) > 0 || spansIn[c]! > 0));
    if (c + 0.5 >= future && covered[c]! < 0.5) kinds[c] = FUTURE;
    else if (crowded) {
      kinds[c] = MIXED;
      // In eighths, so that neighbours join into one strip.
      reds[c] = Math.min(6, Math.max(1, Math.round((1 - covered[c]!) * 8))) / 8;
    } else if (gaps === 1) kinds[c] = GAP;
    else if (spansIn[c]! > 0 || covered[c]! >= 0.5) kinds[c] = RECORDED;
    else kinds[c] = GAP;
  }
  for (const hole of unknown) {
    const end = Math.min(width, Math.round(xOf(view, hole.toMs)));
    for (let c = Math.max(0, Math.round(xOf(view, hole.fromMs))); c < end; c += 1) if (kinds[c] !== FUTURE) kinds[c] = UNKNOWN;
  }
  return widened(runs(kinds, reds), minPx);
}

const RECORDED = 0;
const GAP = 1;
const MIXED = 2;
const UNKNOWN = 3;
const FUTURE = 4;
const NAMES: StripKind[] = ["recorded", "gap", "mixed", "unknown", "future"];

function cover(covered: Float32Array, x0: number, x1: number, width: number): void {
  const from = Math.max(0, x0);
  const to = Math.min(width, x1);
  if (to <= from) return;
  const c0 = Math.floor(from);
  const c1 = Math.floor(to);
  if (c0 === c1) {
    covered[c0]! += to - from;
    return;
  }
  covered[c0]! += c0 + 1 - from;
  covered.fill(1, c0 + 1, c1);
  if (c1 < width) covered[c1]! += to - c1;
}

/** What fills no pixel by more than half would not be seen: it is counted in the pixel that holds most of it. */
function countIfNarrow(counts: Uint16Array, x0: number, x1: number, width: number): void {
  if (x1 - x0 >= 2 || x1 <= x0) return;
  const c0 = Math.floor(x0);
  const here = Math.min(x1, c0 + 1) - x0;
  const next = Math.max(0, Math.min(x1, c0 + 2) - (c0 + 1));
  if (Math.max(here, next) > 0.5) return;
  const c = next > here ? c0 + 1 : c0;
  if (c >= 0 && c < width && counts[c]! < 60_000) counts[c]! += 1;
}

/** Folded gaps lie somewhere in here: every pixel of it may hold some. */
function spread(counts: Uint16Array, x0: number, x1: number, width: number): void {
  const end = Math.min(width, Math.max(Math.ceil(x1), Math.floor(x0) + 1));
  for (let c = Math.max(0, Math.floor(x0)); c < end; c += 1) if (counts[c]! < 60_000) counts[c]! += 1;
}

function runs(kinds: Uint8Array, reds: Float32Array): Strip[] {
  const found: Strip[] = [];
  for (let c = 0; c < kinds.length; c += 1) {
    const last = found[found.length - 1];
    const kind = NAMES[kinds[c]!]!;
    const red = kind === "mixed" ? reds[c]! : 0;
    if (last && last.kind === kind && last.red === red) last.x1 = c + 1;
    else found.push({ x0: c, x1: c + 1, kind, red });
  }
  return found;
}

/** Lone gaps get their least width from the recording behind them, as far as that has any to spare. */
function widened(found: Strip[], minPx: number): Strip[] {
  for (let i = 0; i + 1 < found.length; i += 1) {
    const strip = found[i]!;
    const next = found[i + 1]!;
    const missing = minPx - (strip.x1 - strip.x0);
    if (strip.kind !== "gap" || missing <= 0 || next.kind !== "recorded") continue;
    const taken = Math.min(missing, next.x1 - next.x0 - 1);
    strip.x1 += taken;
    next.x0 += taken;
  }
  return found;
}

/**
 * The spans at a coarser resolution: of the gaps that begin within one cell of `resolutionMs` only the first stays, as
 * long as all of them together; the others are counted in the span behind it. So there are at most as many spans as
 * cells, each gap is seen within a cell of where it lies, and as much is red and green as there was.
 */
export function coarsened(spans: readonly Span[], resolutionMs: number): Span[] {
  const found: Span[] = [];
  let cell = NaN;
  for (const span of spans) {
    const last = found[found.length - 1];
    const gapCell = last ? Math.floor(last.toMs / resolutionMs) : NaN;
    const gapMs = last ? span.fromMs - last.toMs : 0;
    if (last && gapCell === cell && gapMs <= resolutionMs) {
      const gaps = (last.gaps ?? 0) + 1 + (span.gaps ?? 0);
      found[found.length - 1] = { fromMs: last.fromMs + gapMs, toMs: span.toMs, gaps };
    } else {
      cell = gapCell;
      found.push(span);
    }
  }
  return found;
}
