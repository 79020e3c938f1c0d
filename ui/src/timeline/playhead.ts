// The playhead: which wall time a position of the media element shows, and back. In: fragments of a playlist with their
// EXT-X-PROGRAM-DATE-TIME. Pure.

/** A fragment of the loaded playlist: position and length in seconds of media time, begin in UTC milliseconds. */
export interface Placed {
  start: number;
  duration: number;
  utcMs: number;
}

/** UTC of a media position; null where nothing is loaded. Beyond the ends it is counted on. */
export function utcAt(placed: readonly Placed[], position: number): number | null {
  let low = 0;
  let high = placed.length - 1;
  if (high < 0) return null;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (placed[middle]!.start <= position) low = middle;
    else high = middle - 1;
  }
  const fragment = placed[low]!;
  return fragment.utcMs + (position - fragment.start) * 1000;
}

/** Media position of a moment. In a gap it is the beginning of the next fragment; null outside what is loaded. */
export function positionAt(placed: readonly Placed[], utcMs: number): { position: number; skippedMs: number } | null {
  const first = placed[0];
  const last = placed[placed.length - 1];
  if (!first || !last || utcMs < first.utcMs - 500 || utcMs >= last.utcMs + last.duration * 1000) return null;
  let low = 0;
  let high = placed.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const fragment = placed[middle]!;
    if (fragment.utcMs + fragment.duration * 1000 <= utcMs) low = middle + 1;
    else high = middle;
  }
  const fragment = placed[low]!;
  const into = utcMs - fragment.utcMs;
  // Up to half a second is rounding between fragments, not a gap.
  if (into < 0) return { position: fragment.start, skippedMs: into < -500 ? -into : 0 };
  return { position: fragment.start + into / 1000, skippedMs: 0 };
}

/** A hole between what is buffered that is no gap: sound and picture do not begin at the same moment. */
const MOST_HOLE_S = 0.5;
/** Less than a picture is left before it. */
const LEAST_LEFT_S = 0.02;

/** Where to go from a position at which nothing can be shown, because it lies in, or just before, such a hole; null where something can, or nothing follows. */
export function overHole(buffered: readonly { start: number; end: number }[], position: number): number | null {
  if (buffered.some((range) => range.start <= position && range.end - position > LEAST_LEFT_S)) return null;
  const next = buffered.filter((range) => range.start > position && range.start - position < MOST_HOLE_S).map((range) => range.start);
  return next.length > 0 ? Math.min(...next) + 0.001 : null;
}

/** Moments at which playing jumps over a gap: where a fragment begins later than the one before ends. */
export function jumps(placed: readonly Placed[], toleranceMs = 500): { fromMs: number; toMs: number }[] {
  const found: { fromMs: number; toMs: number }[] = [];
  for (let i = 1; i < placed.length; i += 1) {
    const before = placed[i - 1]!;
    const end = before.utcMs + before.duration * 1000;
    if (placed[i]!.utcMs - end > toleranceMs) found.push({ fromMs: end, toMs: placed[i]!.utcMs });
  }
  return found;
}
