// What the server said is recorded, kept by zoom level. In: views, answers. Out: spans for a view, tiles still to be
// asked for. Never: asks itself. Each level is a resolution of a power of two milliseconds; a tile is 1024 of them.

import { clipped, normalized, type Span } from "./ranges.ts";
import { endMs, type View } from "./scale.ts";

export interface TileKey {
  level: number;
  index: number;
}

export interface Tile extends TileKey {
  fromMs: number;
  toMs: number;
  resolutionMs: number;
}

interface KeptTile {
  spans: Span[];
  askedAtMs: number;
  /** Until here the archive had grown when the tile was asked for; behind it the tile says nothing. */
  knownEndMs: number;
  usedAt: number;
}

const TILE_CELLS = 1024;
const MIN_LEVEL = 6;
const MAX_LEVEL = 31;
/** Retention takes from old tiles; they are asked for again after this long. */
const REFRESH_MS = 60_000;

export class RangeCache {
  readonly #tiles = new Map<string, KeptTile>();
  readonly #capacity: number;
  #uses = 0;

  constructor(capacity = 200) {
    this.#capacity = capacity;
  }

  /** The level for a view: its resolution is no coarser than a pixel. */
  static levelOf(msPerPx: number): number {
    return Math.min(MAX_LEVEL, Math.max(MIN_LEVEL, Math.floor(Math.log2(msPerPx))));
  }

  static tile({ level, index }: TileKey): Tile {
    const resolutionMs = 2 ** level;
    const length = resolutionMs * TILE_CELLS;
    return { level, index, resolutionMs, fromMs: index * length, toMs: (index + 1) * length };
  }

  static #covering(view: View): Tile[] {
    const level = RangeCache.levelOf(view.msPerPx);
    const length = 2 ** level * TILE_CELLS;
    const tiles: Tile[] = [];
    const last = Math.ceil(endMs(view) / length);
    for (let index = Math.floor(view.startMs / length); index < last; index += 1) tiles.push(RangeCache.tile({ level, index }));
    return tiles;
  }

  /** Tiles to be asked for, the missing ones first. Nothing is asked about the future. */
  wanted(view: View, nowMs: number, liveEdgeMs: number): Tile[] {
    const missing: Tile[] = [];
    const stale: Tile[] = [];
    for (const tile of RangeCache.#covering(view)) {
      if (tile.fromMs > nowMs) continue;
      const kept = this.#tiles.get(keyOf(tile));
      if (!kept) missing.push(tile);
      else if ((tile.toMs > kept.knownEndMs && liveEdgeMs > kept.knownEndMs) || nowMs - kept.askedAtMs > REFRESH_MS) stale.push(tile);
    }
    return [...missing, ...stale];
  }

  put(tile: Tile, spans: readonly Span[], askedAtMs: number, knownEndMs: number): void {
    if (this.#tiles.size >= this.#capacity && !this.#tiles.has(keyOf(tile))) this.#evict();
    this.#tiles.set(keyOf(tile), {
      spans: normalized(clipped(spans, tile.fromMs, tile.toMs)),
      askedAtMs,
      knownEndMs,
      usedAt: (this.#uses += 1),
    });
  }

  /** Everything is asked for again, and shown as it was until the answers come. */
  expire(): void {
    for (const tile of this.#tiles.values()) tile.askedAtMs = -Infinity;
  }

  clear(): void {
    this.#tiles.clear();
  }

  /**
   * What is known about the period of a view. Where a tile is missing, what a coarser (or else finer) level knows is
   * taken meanwhile.
   */
  lookup(view: View): { spans: Span[]; unknown: Span[] } {
    const spans: Span[] = [];
    const unknown: Span[] = [];
    for (const tile of RangeCache.#covering(view)) {
      const found = this.#spansOf(tile);
      if (found) for (const span of found) pushJoined(spans, span);
      else unknown.push({ fromMs: tile.fromMs, toMs: tile.toMs });
    }
    return { spans, unknown };
  }

  #spansOf(tile: Tile): Span[] | null {
    const kept = this.#tiles.get(keyOf(tile));
    if (kept) {
      kept.usedAt = this.#uses += 1;
      return kept.spans;
    }
    for (let up = 1; up <= 12; up += 1) {
      const parent = this.#tiles.get(keyOf({ level: tile.level + up, index: Math.floor(tile.index / 2 ** up) }));
      if (parent) return clipped(parent.spans, tile.fromMs, tile.toMs);
    }
    for (let down = 1; down <= 2; down += 1) {
      const count = 2 ** down;
      const children = Array.from({ length: count }, (_, i) => this.#tiles.get(keyOf({ level: tile.level - down, index: tile.index * count + i })));
      if (children.every((child) => child !== undefined)) return normalized(children.flatMap((child) => child.spans));
    }
    return null;
  }

  #evict(): void {
    const oldest = [...this.#tiles.entries()].sort((a, b) => a[1].usedAt - b[1].usedAt).slice(0, Math.ceil(this.#capacity / 8));
    for (const [key] of oldest) this.#tiles.delete(key);
  }
}

const keyOf = ({ level, index }: TileKey): string => `${level}:${index}`;

/** Adds a span in order; one cut at the edge of a tile is made whole again. */
function pushJoined(spans: Span[], span: Span): void {
  const last = spans[spans.length - 1];
  if (!last || last.toMs < span.fromMs) {
    spans.push(span);
    return;
  }
  const gaps = (last.gaps ?? 0) + (span.gaps ?? 0);
  const joined: Span = { fromMs: last.fromMs, toMs: Math.max(last.toMs, span.toMs) };
  if (gaps > 0) joined.gaps = gaps;
  spans[spans.length - 1] = joined;
}

/** Whether the server folded gaps into spans so long that it matters where in them the gaps lie. */
export function needsFiner(spans: readonly Span[], resolutionMs: number): boolean {
  return spans.some((span) => (span.gaps ?? 0) > 0 && span.toMs - span.fromMs > 2 * resolutionMs);
}
