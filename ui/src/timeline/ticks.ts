// The ruler. In: a view and a zone. Out: ticks on round readings of that zone's clock, and the sections (days, months,
// years) above them. Days on which clocks change have their 23 or 25 hours.

import { formatDayLong, formatDayShort, formatTime, MONTHS, zoneName } from "../time/format.ts";
import { DAY_MS, HOUR_MS, isAmbiguous, MINUTE_MS, momentOf, offsetMs, SECOND_MS, wallOf, type Wall } from "../time/zone.ts";
import { endMs, type View } from "./scale.ts";

export interface Tick {
  ms: number;
  label: string;
  /** Begins a new day, month or year: drawn stronger. */
  strong: boolean;
}

export interface Section {
  fromMs: number;
  toMs: number;
  label: string;
}

export interface Ruler {
  major: Tick[];
  minor: number[];
  sections: Section[];
}

type Calendar = "day" | "week" | "month" | "year";
type Step = { kind: "clock"; ms: number; minor: number } | { kind: Calendar; count: number; minor: Step | null; ms: number };

const clock = (ms: number, minor: number): Step => ({ kind: "clock", ms, minor });
const calendar = (kind: Calendar, count: number, ms: number, minor: Step | null): Step => ({ kind, count, ms, minor });

const DAY = calendar("day", 1, DAY_MS, clock(6 * HOUR_MS, 0));
const WEEK = calendar("week", 1, 7 * DAY_MS, DAY);
const MONTH = calendar("month", 1, 30 * DAY_MS, WEEK);
const QUARTER = calendar("month", 3, 91 * DAY_MS, MONTH);
const YEAR = calendar("year", 1, 365 * DAY_MS, QUARTER);

/** From fine to coarse. Each knows the finer ticks drawn between its own. */
const STEPS: Step[] = [
  clock(100, 20),
  clock(200, 100),
  clock(500, 100),
  clock(SECOND_MS, 200),
  clock(2 * SECOND_MS, 500),
  clock(5 * SECOND_MS, SECOND_MS),
  clock(10 * SECOND_MS, 2 * SECOND_MS),
  clock(15 * SECOND_MS, 5 * SECOND_MS),
  clock(30 * SECOND_MS, 5 * SECOND_MS),
  clock(MINUTE_MS, 10 * SECOND_MS),
  clock(2 * MINUTE_MS, 30 * SECOND_MS),
  clock(5 * MINUTE_MS, MINUTE_MS),
  clock(10 * MINUTE_MS, 2 * MINUTE_MS),
  clock(15 * MINUTE_MS, 5 * MINUTE_MS),
  clock(30 * MINUTE_MS, 5 * MINUTE_MS),
  clock(HOUR_MS, 15 * MINUTE_MS),
  clock(2 * HOUR_MS, 30 * MINUTE_MS),
  clock(3 * HOUR_MS, HOUR_MS),
  clock(6 * HOUR_MS, HOUR_MS),
  clock(12 * HOUR_MS, 3 * HOUR_MS),
  DAY,
  calendar("day", 2, 2 * DAY_MS, DAY),
  WEEK,
  calendar("week", 2, 14 * DAY_MS, WEEK),
  MONTH,
  QUARTER,
  calendar("month", 6, 182 * DAY_MS, MONTH),
  YEAR,
  calendar("year", 2, 730 * DAY_MS, YEAR),
  calendar("year", 5, 5 * 365 * DAY_MS, YEAR),
];

/** Ticks at least `minPx` apart. */
export function ruler(view: View, zone: string, minPx = 88): Ruler {
  const wanted = view.msPerPx * minPx;
  const step = STEPS.find((s) => s.ms >= wanted) ?? STEPS[STEPS.length - 1]!;
  const from = view.startMs;
  const to = endMs(view);
  const majors = moments(step, zone, from - step.ms, to + step.ms);
  const minorStep: Step | null = step.kind === "clock" ? clock(step.minor, 0) : step.minor;
  const minor = minorStep && minorStep.ms / view.msPerPx >= 5 ? moments(minorStep, zone, from, to) : [];
  return {
    major: majors.map((ms) => ({ ms, label: label(step, zone, ms), strong: isStrong(step, zone, ms) })),
    minor,
    sections: sections(step, zone, from, to),
  };
}

/** The moments in `[from, to)` on which the step falls. */
function moments(step: Step, zone: string, from: number, to: number): number[] {
  if (step.kind === "clock") return clockMoments(step.ms, zone, from, to);
  const found: number[] = [];
  const wall = wallOf(zone, from);
  const at: Wall = { ...wall, hour: 0, minute: 0, second: 0, ms: 0 };
  if (step.kind === "day") at.day -= mod(dayNumber(at), step.count);
  if (step.kind === "week") at.day -= mod(dayNumber(at) + 3, 7 * step.count); // day 0, 1 January 1970, was a Thursday
  if (step.kind === "month" || step.kind === "year") at.day = 1;
  if (step.kind === "month") at.month -= mod(at.month - 1, step.count);
  if (step.kind === "year") {
    at.month = 1;
    at.year -= mod(at.year, step.count);
  }
  for (let i = 0; i < 2000; i += 1) {
    const ms = momentOf(zone, at).ms;
    if (ms >= to) break;
    if (ms >= from) found.push(ms);
    if (step.kind === "day") at.day += step.count;
    else if (step.kind === "week") at.day += 7 * step.count;
    else if (step.kind === "month") at.month += step.count;
    else at.year += step.count;
  }
  return found;
}

/**
 * Moments at which the wall clock reads a multiple of `step`. For each offset that the zone has within the period the
 * multiples are counted as if it always had it, and kept where it does: a skipped hour has none, a repeated one two.
 */
function clockMoments(step: number, zone: string, from: number, to: number): number[] {
  const offsets = new Set<number>();
  for (let ms = from; ms < to; ms += DAY_MS / 2) offsets.add(offsetMs(zone, ms));
  offsets.add(offsetMs(zone, to));
  const found: number[] = [];
  for (const offset of offsets) {
    for (let ms = Math.ceil((from + offset) / step) * step - offset; ms < to; ms += step) {
      if (offsets.size === 1 || offsetMs(zone, ms) === offset) found.push(ms);
    }
  }
  return offsets.size === 1 ? found : [...new Set(found)].sort((a, b) => a - b);
}

function isStrong(step: Step, zone: string, ms: number): boolean {
  const wall = wallOf(zone, ms);
  if (step.kind === "clock") return wall.hour === 0 && wall.minute === 0 && wall.second === 0 && wall.ms === 0;
  if (step.kind === "day" || step.kind === "week") return wall.day === 1;
  return wall.month === 1;
}

function label(step: Step, zone: string, ms: number): string {
  const wall = wallOf(zone, ms);
  if (step.kind === "year") return String(wall.year);
  if (step.kind === "month") return wall.month === 1 ? String(wall.year) : MONTHS[wall.month - 1]!;
  if (step.kind === "day") return step.count === 1 ? formatDayShort(ms, zone).slice(0, -4) : `${wall.day} ${MONTHS[wall.month - 1]}`;
  if (step.kind === "week") return `${wall.day} ${MONTHS[wall.month - 1]}`;
  if (isStrong(step, zone, ms)) return formatDayShort(ms, zone);
  if (step.ms < SECOND_MS) return formatTime(ms, zone, "ms").replace(/00$/, "");
  const text = formatTime(ms, zone, step.ms < MINUTE_MS ? "seconds" : "minutes");
  return isAmbiguous(zone, ms) ? `${text} ${zoneName(ms, zone)}` : text;
}

/** The unit above the ticks: days over clock times, months over days, years over months. */
function sections(step: Step, zone: string, from: number, to: number): Section[] {
  if (step.kind === "year") return [];
  const unit: Calendar = step.kind === "clock" ? "day" : step.kind === "month" ? "year" : "month";
  const size = { day: DAY_MS, week: 7 * DAY_MS, month: 31 * DAY_MS, year: 366 * DAY_MS }[unit];
  const starts = moments(calendar(unit, 1, size, null), zone, from - size * 1.2, to + size * 1.2);
  const found: Section[] = [];
  for (let i = 0; i + 1 < starts.length; i += 1) {
    const start = starts[i]!;
    const end = starts[i + 1]!;
    if (end <= from || start >= to) continue;
    const wall = wallOf(zone, start);
    const text = unit === "day" ? formatDayLong(start, zone) : unit === "month" ? `${MONTHS[wall.month - 1]} ${wall.year}` : String(wall.year);
    found.push({ fromMs: start, toMs: end, label: text });
  }
  return found;
}

const dayNumber = (wall: Wall): number => Math.floor(Date.UTC(wall.year, wall.month - 1, wall.day) / DAY_MS);
const mod = (a: number, n: number): number => ((a % n) + n) % n;
