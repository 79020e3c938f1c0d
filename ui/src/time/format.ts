// Moments and lengths as text. In: numbers. Out: text. Never: reads the clock or the browser's settings.

import { DAY_MS, HOUR_MS, isAmbiguous, MINUTE_MS, offsetMs, SECOND_MS, wallOf } from "./zone.ts";

export const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const;

const two = (n: number): string => String(n).padStart(2, "0");
const four = (n: number): string => String(n).padStart(4, "0");

/** `2014-08-27` */
export function formatDate(ms: number, zone: string): string {
  const w = wallOf(zone, ms);
  return `${four(w.year)}-${two(w.month)}-${two(w.day)}`;
}

/** `18:15`, `18:15:30`, `18:15:30.250` */
export function formatTime(ms: number, zone: string, precision: "minutes" | "seconds" | "ms" = "seconds"): string {
  const w = wallOf(zone, ms);
  let text = `${two(w.hour)}:${two(w.minute)}`;
  if (precision !== "minutes") text += `:${two(w.second)}`;
  if (precision === "ms") text += `.${String(w.ms).padStart(3, "0")}`;
  return text;
}

/** `2014-08-27 18:15:30`; with the zone's name where the reading alone would be ambiguous. */
export function formatMoment(ms: number, zone: string, precision: "minutes" | "seconds" | "ms" = "seconds"): string {
  const text = `${formatDate(ms, zone)} ${formatTime(ms, zone, precision)}`;
  return isAmbiguous(zone, ms) ? `${text} ${zoneName(ms, zone)}` : text;
}

/** `Wed 27 Aug 2014` */
export function formatDayLong(ms: number, zone: string): string {
  const w = wallOf(zone, ms);
  return `${formatDayShort(ms, zone)} ${w.year}`;
}

/** `Wed 27 Aug` */
export function formatDayShort(ms: number, zone: string): string {
  const w = wallOf(zone, ms);
  const weekday = new Date(ms + offsetMs(zone, ms)).getUTCDay();
  return `${WEEKDAYS[weekday]} ${w.day} ${MONTHS[w.month - 1]}`;
}

/** `UTC`, `UTC+5:30`, or the zone's usual short name where Intl has one (`CEST`, `EDT`). */
export function zoneName(ms: number, zone: string): string {
  if (zone === "UTC") return "UTC";
  try {
    const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeZoneName: "short" }).formatToParts(ms);
    const name = parts.find((part) => part.type === "timeZoneName")?.value;
    if (name && !/^GMT[+-]/.test(name)) return name;
  } catch {
    // An unknown zone cannot get here; the offset is told below in any case.
  }
  return offsetName(ms, zone);
}

/** `UTC+2`, `UTC+5:30`, `UTC` */
export function offsetName(ms: number, zone: string): string {
  const minutes = Math.round(offsetMs(zone, ms) / MINUTE_MS);
  if (minutes === 0) return "UTC";
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? "−" : "+"}${hours}${rest ? `:${two(rest)}` : ""}`;
}

/** `2014-08-27T16:15:30Z`, with milliseconds only where there are any. */
export function formatIso(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

/** `20140827-181530`, for file names. */
export function formatCompact(ms: number, zone: string): string {
  return `${formatDate(ms, zone).replaceAll("-", "")}-${formatTime(ms, zone).replaceAll(":", "")}`;
}

/** `0:09`, `12:30`, `1:02:03`, `2 d 1:02:03`: a length as a player shows it. */
export function formatClock(ms: number): string {
  const total = Math.round(Math.abs(ms) / SECOND_MS);
  const days = Math.floor(total / 86_400);
  const hours = Math.floor((total % 86_400) / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const sign = ms < 0 && total > 0 ? "−" : "";
  const tail = hours || days ? `${hours}:${two(minutes)}:${two(total % 60)}` : `${minutes}:${two(total % 60)}`;
  return `${sign}${days ? `${days} d ` : ""}${tail}`;
}

/** `250 ms`, `9 s`, `12 min 30 s`, `3 h 5 min`, `2 d 4 h`, `1 y 40 d`: the two largest units. */
export function formatLength(ms: number): string {
  const abs = Math.abs(ms);
  if (abs < SECOND_MS) return `${Math.round(ms)} ms`;
  const units: [string, number][] = [
    ["y", 365 * DAY_MS],
    ["d", DAY_MS],
    ["h", HOUR_MS],
    ["min", MINUTE_MS],
    ["s", SECOND_MS],
  ];
  const sign = ms < 0 ? "−" : "";
  for (const [i, [name, size]] of units.entries()) {
    if (abs < size) continue;
    const next = units[i + 1];
    const count = Math.floor(abs / size);
    const rest = next ? Math.floor((abs - count * size) / next[1]) : 0;
    return `${sign}${count} ${name}${next && rest ? ` ${rest} ${next[0]}` : ""}`;
  }
  return "0 s";
}

/** `512 B`, `1.4 MB`, `2.0 TB`: powers of 1000, as disks and networks count. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `850 kbit/s`, `4.2 Mbit/s` */
export function formatBitrate(bps: number): string {
  if (bps < 1000) return `${Math.round(bps)} bit/s`;
  if (bps < 999_500) return `${Math.round(bps / 1000)} kbit/s`;
  return `${(bps / 1e6).toFixed(1)} Mbit/s`;
}
