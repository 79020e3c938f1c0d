// What may be typed into a stream's form. Pure: text in, a StreamInput or sentences out.

import type { StreamInput } from "../api/types.ts";

export interface FormText {
  name: string;
  source: string;
  retention: string;
}

export type FormErrors = Partial<Record<keyof FormText, string>>;

const NAME = /^[A-Za-z0-9._~-]+(\/[A-Za-z0-9._~-]+)*$/;
const SOURCES = ["http:", "https:", "udp:", "rtp:", "file:", "demo:"];
const UNITS: Record<string, number> = { s: 1, min: 60, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_536_000 };

/** `7d`, `36 h`, `2w`; empty: for ever. Null: for ever; undefined: not understood. */
export function parseRetention(text: string): number | null | undefined {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === "" || trimmed === "for ever" || trimmed === "forever") return null;
  const match = /^(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w|y)[a-z]*$/.exec(trimmed);
  if (!match) return undefined;
  const seconds = Math.round(Number(match[1]) * UNITS[match[2]!]!);
  return seconds >= 60 && seconds <= 100 * 31_536_000 ? seconds : undefined;
}

export function printRetention(seconds: number | null): string {
  if (seconds === null) return "";
  for (const [unit, size] of [["d", 86_400], ["h", 3600], ["min", 60]] as const) if (seconds % size === 0) return `${seconds / size}${unit}`;
  return `${seconds}s`;
}

export function nameError(name: string): string | null {
  if (name === "") return "A stream needs a name.";
  if (name.length > 200) return "A name has 200 characters at most.";
  if (!NAME.test(name)) return "Letters, digits, . _ ~ - and / between parts. Nothing else: the name is part of every address.";
  if (name.split("/").some((part) => part === "." || part === "..")) return "A part of a name cannot be . or ..";
  return null;
}

export function sourceError(source: string): string | null {
  if (source === "") return "Where is the stream to be recorded from?";
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(source)?.[0].toLowerCase();
  if (!scheme) return "An address begins with its kind, for example https:// or udp://.";
  if (!SOURCES.includes(scheme)) return `“${scheme}” cannot be recorded. Use ${SOURCES.join(" ")}`;
  if (/\s/.test(source)) return "An address holds no spaces.";
  if (/^https?:/.test(scheme) && !URL.canParse(source)) return "This is not a whole address.";
  return null;
}

export function checkForm(text: FormText, paused: boolean): { input: StreamInput | null; errors: FormErrors } {
  const errors: FormErrors = {};
  const name = text.name.trim();
  const source = text.source.trim();
  const wrongName = nameError(name);
  if (wrongName) errors.name = wrongName;
  const wrongSource = sourceError(source);
  if (wrongSource) errors.source = wrongSource;
  const retention = parseRetention(text.retention);
  if (retention === undefined) errors.retention = "A number and a unit, from one minute on: 36h, 7d, 4w. Empty: for ever.";
  if (Object.keys(errors).length > 0) return { input: null, errors };
  return { input: { name, source, retention_seconds: retention ?? null, paused }, errors };
}
