// The date field. In: whatever somebody typed, the moment now and the zone their clock is in. Out: a moment, and a
// remark where the text could be taken in two ways; or a sentence that says what was not understood.

import { DAY_MS, HOUR_MS, MINUTE_MS, momentOf, SECOND_MS, startOfDay, wallOf, type Wall } from "./zone.ts";

export type Parsed = { ok: true; ms: number; remark?: string } | { ok: false; message: string };

export interface ParseContext {
  nowMs: number;
  zone: string;
}

/** Shown beside the field and in its error. */
export const DATE_EXAMPLES = "2014-08-27 18:15, 27.08.2014 18:15, 18:15, -2h, yesterday 20:00, now";

const MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const UNIT_MS: Record<string, number> = {
  s: SECOND_MS,
  sec: SECOND_MS,
  second: SECOND_MS,
  seconds: SECOND_MS,
  m: MINUTE_MS,
  min: MINUTE_MS,
  mins: MINUTE_MS,
  minute: MINUTE_MS,
  minutes: MINUTE_MS,
  h: HOUR_MS,
  hour: HOUR_MS,
  hours: HOUR_MS,
  d: DAY_MS,
  day: DAY_MS,
  days: DAY_MS,
  w: 7 * DAY_MS,
  week: 7 * DAY_MS,
  weeks: 7 * DAY_MS,
};

const fail = (message: string): Parsed => ({ ok: false, message });

const TIME = /^(\d{1,2})[:.h](\d{2})(?:[:.](\d{2})(?:[.,](\d{1,3})\d*)?)?$/;

interface TimeOfDay {
  hour: number;
  minute: number;
  second: number;
  ms: number;
}

function timeOfDay(text: string): TimeOfDay | null {
  const match = TIME.exec(text);
  if (!match) return null;
  const time = {
    hour: Number(match[1]),
    minute: Number(match[2]),
    second: Number(match[3] ?? 0),
    ms: Number((match[4] ?? "0").padEnd(3, "0")),
  };
  return time.hour < 24 && time.minute < 60 && time.second < 60 ? time : null;
}

function calendarDay(text: string): { year: number; month: number; day: number } | null {
  let match = /^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})$/.exec(text);
  if (match) return checkedDay(Number(match[1]), Number(match[2]), Number(match[3]));
  match = /^(\d{1,2})\.(\d{1,2})\.(\d{4}|\d{2})$/.exec(text);
  if (match) return checkedDay(fullYear(match[3]!), Number(match[2]), Number(match[1]));
  match = /^(\d{1,2})[ -]?([a-z]{3,9})\.?[ -]?(\d{4})$/.exec(text);
  if (match) return checkedDay(Number(match[3]), monthOf(match[2]!), Number(match[1]));
  match = /^(\d{4})(\d{2})(\d{2})$/.exec(text);
  if (match) return checkedDay(Number(match[1]), Number(match[2]), Number(match[3]));
  return null;
}

const fullYear = (text: string): number => (text.length === 2 ? 2000 + Number(text) : Number(text));
const monthOf = (name: string): number => MONTH_NAMES.indexOf(name.slice(0, 3)) + 1;

function checkedDay(year: number, month: number, day: number): { year: number; month: number; day: number } | null {
  const date = new Date(Date.UTC(year, month - 1, day));
  const real = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && year >= 1970 && year <= 2200;
  return real ? { year, month, day } : null;
}

/** Reads a date as people write it. */
export function parseMoment(input: string, { nowMs, zone }: ParseContext): Parsed {
  const text = input
    .trim()
    .replace(/[\u2212\u2013]/g, "-")
    .replace(/\s+/g, " ")
    .toLowerCase();
  if (text === "") return fail(`Type a date, for example ${DATE_EXAMPLES}.`);
  if (text === "now" || text === "live") return { ok: true, ms: nowMs };

  if (/^\d{9,}([.,]\d+)?$/.test(text)) return unixTime(text);
  const relative = relativeTime(text, nowMs);
  if (relative) return relative;

  const instant = isoInstant(text);
  if (instant) return instant;

  // What is left is a reading of the wall clock, in the zone of the page or, with a `utc` behind it, in UTC.
  const utc = /^(.*?)[ ]?(utc|gmt|z)$/.exec(text);
  const reading = utc ? utc[1]!.trim() : text;
  return wallReading(reading, input, nowMs, utc ? "UTC" : zone);
}

function unixTime(text: string): Parsed {
  const value = Number(text.replace(",", "."));
  // As in the URLs of playback: above 1e11 it is milliseconds.
  const ms = value > 1e11 ? value : value * 1000;
  if (ms > 7.3e12) return fail("This Unix time lies behind the year 2200.");
  return { ok: true, ms: Math.round(ms) };
}

function relativeTime(text: string, nowMs: number): Parsed | null {
  const match = /^([-+])? ?((?:\d+(?:[.,]\d+)? ?[a-z]+[ ,]*)+?)( ago)?$/.exec(text);
  if (!match || (!match[1] && !match[3])) return null;
  let sum = 0;
  for (const part of match[2]!.matchAll(/(\d+(?:[.,]\d+)?) ?([a-z]+)/g)) {
    const unit = UNIT_MS[part[2]!];
    if (unit === undefined) return fail(`“${part[2]}” is no unit of time here. Use s, min, h, d or w.`);
    sum += Number(part[1]!.replace(",", ".")) * unit;
  }
  return { ok: true, ms: Math.round(nowMs + (match[1] === "+" ? sum : -sum)) };
}

function isoInstant(text: string): Parsed | null {
  const match = /^(\d{4}-?\d{2}-?\d{2})[t ](\d{2}):?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)? ?(z|[+-]\d{2}(?::?\d{2})?)$/.exec(text);
  if (!match) return null;
  const day = calendarDay(match[1]!);
  const time = timeOfDay(`${match[2]}:${match[3]}:${match[4] ?? "00"}.${match[5] ?? "0"}`);
  if (!day || !time) return fail("There is no such date or time.");
  let offset = 0;
  if (match[6] !== "z") {
    const digits = match[6]!.replace(":", "");
    const minutes = Number(digits.slice(1, 3)) * 60 + Number(digits.slice(3, 5) || 0);
    offset = (digits[0] === "-" ? -minutes : minutes) * MINUTE_MS;
  }
  return { ok: true, ms: Date.UTC(day.year, day.month - 1, day.day, time.hour, time.minute, time.second, time.ms) - offset };
}

function wallReading(reading: string, input: string, nowMs: number, zone: string): Parsed {
  const today = wallOf(zone, nowMs);
  const alone = timeOfDay(reading);
  if (alone) {
    const at = (days: number): Parsed => readingAt(zone, { ...today, ...alone, day: today.day + days });
    const now = at(0);
    // The archive lies in the past: a time that is still ahead today means yesterday's.
    if (now.ok && now.ms <= nowMs) return now;
    const before = at(-1);
    return before.ok ? { ...before, remark: "Yesterday: this time is still ahead today." } : before;
  }

  const relativeDay = /^(today|yesterday|tomorrow)(?:[ ,]+(?:at )?(\S+))?$/.exec(reading);
  if (relativeDay) {
    const days = { today: 0, yesterday: -1, tomorrow: 1 }[relativeDay[1] as "today" | "yesterday" | "tomorrow"];
    if (!relativeDay[2]) return { ok: true, ms: startOfDay(zone, nowMs, days) };
    const time = timeOfDay(relativeDay[2]);
    return time ? readingAt(zone, { ...today, ...time, day: today.day + days }) : fail(noTime(relativeDay[2]));
  }

  const split = /^(.*?)(?:[ ,]+(?:at )?|(?<=\d)t(?=\d))(\d{1,2}[:.h]\d{2}\S*)$/.exec(reading);
  const dayText = (split ? split[1]! : reading).trim();
  const day = calendarDay(dayText);
  if (!day) {
    return /^[\d./-]+$/.test(dayText) && dayText.length >= 6
      ? fail(`There is no day “${dayText}”.`)
      : fail(`“${input.trim()}” is not a date that is understood. Try ${DATE_EXAMPLES}.`);
  }
  const time = split ? timeOfDay(split[2]!) : { hour: 0, minute: 0, second: 0, ms: 0 };
  return time ? readingAt(zone, { ...day, ...time }) : fail(noTime(split![2]!));
}

const noTime = (text: string): string => `There is no time of day “${text}”.`;

function readingAt(zone: string, wall: Wall): Parsed {
  const { ms, kind } = momentOf(zone, wall);
  if (kind === "twice") return { ok: true, ms, remark: "Clocks went back then: this time came twice, the first is meant." };
  if (kind === "never") return { ok: true, ms, remark: "Clocks went forward then: this time was left out, the one an hour on is meant." };
  return { ok: true, ms };
}
