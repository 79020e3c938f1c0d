// Wall clocks and UTC. In: a zone's IANA name and a moment in UTC milliseconds, or a wall clock's reading. Out: the
// other one. Never: reads the clock. Intl knows the rules of the zones; what it cannot do, find the moment of a
// reading, is done here.

/** A wall clock's reading. Months are 1 to 12. */
export interface Wall {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  ms: number;
}

/** How a reading relates to moments: once, twice (clocks went back) or never (clocks went forward). */
export type WallKind = "exact" | "twice" | "never";

export const SECOND_MS = 1000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

// Zones change their offset only at whole quarters of an hour of UTC, so that one look-up serves a quarter.
const QUARTER_MS = 15 * MINUTE_MS;
const KEPT_OFFSETS = 20_000;

interface ZoneData {
  formatter: Intl.DateTimeFormat;
  offsets: Map<number, number>;
}

const zones = new Map<string, ZoneData>();

function zoneData(zone: string): ZoneData {
  let data = zones.get(zone);
  if (!data) {
    const formatter = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    data = { formatter, offsets: new Map() };
    zones.set(zone, data);
  }
  return data;
}

/** Whether the browser knows a zone of this name. */
export function isZone(zone: string): boolean {
  try {
    zoneData(zone);
    return true;
  } catch {
    return false;
  }
}

/** What is added to UTC to get the wall clock of the zone, in milliseconds. */
export function offsetMs(zone: string, utcMs: number): number {
  if (zone === "UTC") return 0;
  const data = zoneData(zone);
  const quarter = Math.floor(utcMs / QUARTER_MS);
  const known = data.offsets.get(quarter);
  if (known !== undefined) return known;
  const at = quarter * QUARTER_MS;
  const parts: Record<string, string> = {};
  for (const part of data.formatter.formatToParts(at)) parts[part.type] = part.value;
  const year = parts.era === "BC" ? 1 - Number(parts.year) : Number(parts.year);
  const wall = utcOf({
    year,
    month: Number(parts.month),
    day: Number(parts.day),
    hour: Number(parts.hour),
    minute: Number(parts.minute),
    second: Number(parts.second),
    ms: 0,
  });
  const offset = wall - at;
  if (data.offsets.size >= KEPT_OFFSETS) data.offsets.clear();
  data.offsets.set(quarter, offset);
  return offset;
}

/** The moment at which a clock on UTC reads so. */
export function utcOf(wall: Wall): number {
  const ms = Date.UTC(wall.year, wall.month - 1, wall.day, wall.hour, wall.minute, wall.second, wall.ms);
  // Date.UTC takes the years 0 to 99 for 1900 to 1999.
  return wall.year >= 0 && wall.year < 100 ? new Date(ms).setUTCFullYear(wall.year) : ms;
}

/** What the clock of the zone reads at a moment. */
export function wallOf(zone: string, utcMs: number): Wall {
  const date = new Date(utcMs + offsetMs(zone, utcMs));
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    ms: date.getUTCMilliseconds(),
  };
}

/**
 * The moment at which the clock of the zone reads so. Of two, the first. Where the clocks jump over the reading, the
 * moment as far behind the jump as the reading lies behind its beginning.
 */
export function momentOf(zone: string, wall: Wall): { ms: number; kind: WallKind } {
  const reading = utcOf(wall);
  const before = offsetMs(zone, reading - DAY_MS);
  const after = offsetMs(zone, reading + DAY_MS);
  const fits = [...new Set([before, after])]
    .map((offset) => reading - offset)
    .filter((ms) => ms + offsetMs(zone, ms) === reading)
    .sort((a, b) => a - b);
  const first = fits[0];
  if (first === undefined) return { ms: reading - before, kind: "never" };
  return { ms: first, kind: fits.length > 1 ? "twice" : "exact" };
}

/** Midnight (or the first moment of the day, where midnight is jumped over) of the day `days` after that of `utcMs`. */
export function startOfDay(zone: string, utcMs: number, days = 0): number {
  const wall = wallOf(zone, utcMs);
  return momentOf(zone, { ...wall, day: wall.day + days, hour: 0, minute: 0, second: 0, ms: 0 }).ms;
}

/** Whether the same reading comes twice around this moment: the hour (or half hour) when clocks go back. */
export function isAmbiguous(zone: string, utcMs: number): boolean {
  if (zone === "UTC") return false;
  return momentOf(zone, wallOf(zone, utcMs)).kind === "twice";
}
