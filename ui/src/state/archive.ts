// What is recorded of one stream, as far as anybody has looked. In: views. Out: spans; answers to "what is around this
// moment". Asks the server tile by tile, a few at a time, the newest wish first.

import { ApiError, getRanges } from "../api/client.ts";
import { clipped, coarsened, normalized, type Span } from "../timeline/ranges.ts";
import { needsFiner, RangeCache, type Tile } from "../timeline/range-cache.ts";
import type { View } from "../timeline/scale.ts";

const AT_ONCE = 4;
/** How much finer it is asked again where the server folded gaps whose place matters, and how often. */
const FINER = 32;
const FINER_STEPS = 2;
const RETRY_MS = 3000;

export class Archive {
  readonly #name: string;
  readonly #cache = new RangeCache();
  readonly #now: () => number;
  readonly #liveEdge: () => number;
  readonly #asked = new Set<string>();
  #views: View[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #gone = false;
  onChange: () => void = () => {};

  constructor(name: string, now: () => number, liveEdge: () => number) {
    this.#name = name;
    this.#now = now;
    this.#liveEdge = liveEdge;
  }

  lookup(view: View): { spans: Span[]; unknown: Span[] } {
    return this.#cache.lookup(view);
  }

  /** These views are on the screen, the most important one first. */
  want(views: View[]): void {
    this.#views = views;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#work(), 40);
  }

  /** The archive has grown, or the server was away. */
  refresh(): void {
    this.want(this.#views);
  }

  expire(): void {
    this.#cache.expire();
    this.refresh();
  }

  destroy(): void {
    this.#gone = true;
    clearTimeout(this.#timer);
  }

  #work(): void {
    if (this.#gone) return;
    for (const view of this.#views) {
      for (const tile of this.#cache.wanted(view, this.#now(), this.#liveEdge())) {
        if (this.#asked.size >= AT_ONCE) return;
        const key = `${tile.level}:${tile.index}`;
        if (this.#asked.has(key)) continue;
        this.#asked.add(key);
        void this.#ask(tile).then((answered) => {
          this.#asked.delete(key);
          if (this.#gone) return;
          this.onChange();
          if (answered) this.#work();
          else {
            clearTimeout(this.#timer);
            this.#timer = setTimeout(() => this.#work(), RETRY_MS);
          }
        });
      }
    }
  }

  async #ask(tile: Tile): Promise<boolean> {
    const askedAt = this.#now();
    const edge = this.#liveEdge();
    try {
      const spans = await this.#spans(tile.fromMs, Math.min(tile.toMs, askedAt + 60_000), tile.resolutionMs, FINER_STEPS);
      this.#cache.put(tile, coarsened(spans, tile.resolutionMs), askedAt, edge);
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) this.#cache.put(tile, [], askedAt, edge);
      return false;
    }
  }

  async #spans(fromMs: number, toMs: number, resolutionMs: number, finer: number): Promise<Span[]> {
    const answer = await getRanges(this.#name, fromMs, toMs, resolutionMs);
    const spans = normalized(
      answer.ranges.map((r) => (r.gaps ? { fromMs: r.from_ms, toMs: r.to_ms, gaps: r.gaps } : { fromMs: r.from_ms, toMs: r.to_ms })),
    );
    const next = Math.floor(resolutionMs / FINER);
    if (finer > 0 && next >= 1 && !answer.truncated && needsFiner(spans, resolutionMs)) return this.#spans(fromMs, toMs, next, finer - 1);
    if (answer.truncated && spans.length > 0) {
      // More than one answer holds: what follows comes from where this one ends.
      const last = spans[spans.length - 1]!;
      if (last.toMs < toMs && last.toMs > fromMs) return [...spans, ...(await this.#spans(last.toMs, toMs, resolutionMs * 4, 0))];
    }
    return spans;
  }

  /** Exactly: is this moment recorded, and if not, what are the nearest recorded ones? */
  async around(ms: number, firstMs: number | null): Promise<{ recorded: boolean; beforeMs: number | null; nextMs: number | null }> {
    const here = clipped(await this.#spans(ms - 1000, ms + 1000, 1, 0), ms, ms + 1);
    if (here.length > 0) return { recorded: true, beforeMs: ms, nextMs: ms };
    const now = this.#now();
    const [after, before] = await Promise.all([
      // However coarse: the beginning of the first span and the end of the last one are exact.
      ms < now ? this.#spans(ms, now, Math.max(1, (now - ms) / 200), 0) : Promise.resolve([]),
      firstMs !== null && firstMs < ms ? this.#spans(firstMs, Math.min(ms, now), Math.max(1, (ms - firstMs) / 200), 0) : Promise.resolve([]),
    ]);
    return { recorded: false, nextMs: after[0]?.fromMs ?? null, beforeMs: before[before.length - 1]?.toMs ?? null };
  }

  /** The next beginning or end of a recording, looked for ever further away. */
  async nextEdge(ms: number, direction: 1 | -1, firstMs: number | null): Promise<number | null> {
    const now = this.#now();
    const limit = direction === 1 ? now : (firstMs ?? now);
    for (let reach = 10 * 60_000; ; reach *= 12) {
      const end = direction === 1 ? Math.min(limit, ms + reach) : Math.max(limit, ms - reach);
      const from = Math.min(ms, end) - 1;
      const to = Math.max(ms, end) + 1;
      if (direction === 1 ? ms >= limit : ms <= limit) return null;
      const spans = await this.#spans(from, to, 1, 0);
      const edges = spans.flatMap((s) => [s.fromMs, s.toMs]).filter((e) => e > from && e < to);
      const wanted = edges.filter((e) => (direction === 1 ? e > ms + 500 : e < ms - 500));
      if (wanted.length > 0) return direction === 1 ? Math.min(...wanted) : Math.max(...wanted);
      if (end === limit) return limit;
    }
  }
}
