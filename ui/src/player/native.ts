// What a browser that plays HLS by itself shows when: read from the playlist. In: its address. Out: fragments with their
// wall time. hls.js knows this by itself.

import type { Placed } from "../timeline/playhead.ts";

/** The fragments of a media playlist, one behind the other; those without a date count on from the one before. Pure. */
export function parsePlaylist(text: string): Placed[] {
  const placed: Placed[] = [];
  let start = 0;
  let utcMs = NaN;
  let duration = 0;
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#EXT-X-PROGRAM-DATE-TIME:")) utcMs = Date.parse(line.slice("#EXT-X-PROGRAM-DATE-TIME:".length));
    else if (line.startsWith("#EXTINF:")) duration = Number.parseFloat(line.slice("#EXTINF:".length));
    else if (line !== "" && !line.startsWith("#")) {
      if (Number.isFinite(utcMs) && duration > 0) placed.push({ start, duration, utcMs });
      start += duration;
      utcMs += duration * 1000;
      duration = 0;
    }
  }
  return placed;
}

/** What is known, and behind it what a newer reading of the same playlist adds. Pure. */
export function extended(known: readonly Placed[], read: readonly Placed[]): Placed[] {
  const last = known[known.length - 1];
  if (!last) return [...read];
  let start = last.start + last.duration;
  const more = read
    .filter((fragment) => fragment.utcMs > last.utcMs + 1)
    .map((fragment) => {
      const placed = { ...fragment, start };
      start += fragment.duration;
      return placed;
    });
  return [...known, ...more];
}

/** The first media playlist of an address. */
export async function placedOf(url: string): Promise<Placed[]> {
  const text = await read(url);
  if (text.includes("#EXTINF:")) return parsePlaylist(text);
  const lines = text.split(/\r?\n/);
  const variant = lines[lines.findIndex((line) => line.startsWith("#EXT-X-STREAM-INF")) + 1];
  return variant ? parsePlaylist(await read(new URL(variant, new URL(url, location.href)).href)) : [];
}

async function read(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(String(response.status));
  return response.text();
}
