// The scale of the timeline: time to pixel and back, zoom, pan. Pure arithmetic on a View.

import { DAY_MS } from "../time/zone.ts";

/** What the bar shows: it begins at `startMs`, each pixel is `msPerPx` long, `widthPx` pixels of it are on screen. */
export interface View {
  startMs: number;
  msPerPx: number;
  widthPx: number;
}

/** Shortest and longest period the bar can show. */
export const MIN_SPAN_MS = 2_000;
export const MAX_SPAN_MS = 20 * 365 * DAY_MS;

export const spanMs = (view: View): number => view.msPerPx * view.widthPx;
export const endMs = (view: View): number => view.startMs + spanMs(view);
export const centreMs = (view: View): number => view.startMs + spanMs(view) / 2;
export const timeAt = (view: View, x: number): number => view.startMs + x * view.msPerPx;
export const xOf = (view: View, ms: number): number => (ms - view.startMs) / view.msPerPx;

/** Zooms by `factor` (above 1: in) so that the moment under pixel `x` stays where it is. */
export function zoomAt(view: View, factor: number, x: number): View {
  const fixed = timeAt(view, x);
  const span = clamp(spanMs(view) / factor, MIN_SPAN_MS, MAX_SPAN_MS);
  const msPerPx = span / view.widthPx;
  return { ...view, msPerPx, startMs: fixed - x * msPerPx };
}

/** Moves what is shown by so many pixels: to later times where `dx` is positive. */
export const pan = (view: View, dx: number): View => ({ ...view, startMs: view.startMs + dx * view.msPerPx });

/** The view of this period, in the same width. */
export function fit(view: View, fromMs: number, toMs: number): View {
  const span = clamp(toMs - fromMs, MIN_SPAN_MS, MAX_SPAN_MS);
  const centre = (fromMs + toMs) / 2;
  return { ...view, msPerPx: span / view.widthPx, startMs: centre - span / 2 };
}

/** The view with this moment in its middle. */
export const centredOn = (view: View, ms: number): View => ({ ...view, startMs: ms - spanMs(view) / 2 });

/** The same period in another width. */
export function resized(view: View, widthPx: number): View {
  const width = Math.max(1, widthPx);
  return { startMs: view.startMs, msPerPx: spanMs(view) / width, widthPx: width };
}

/** Never before 1970, and never so far into the future that nothing of the past is left on the bar. */
export function clampView(view: View, nowMs: number): View {
  const span = clamp(spanMs(view), MIN_SPAN_MS, MAX_SPAN_MS);
  const latest = nowMs - span * 0.1;
  const startMs = Math.max(Math.min(0, latest), Math.min(view.startMs, latest));
  return { widthPx: view.widthPx, msPerPx: span / view.widthPx, startMs };
}

/** Shifts the view just so far that `ms` is on it, `margin` (a share of the width) away from its ends. */
export function revealed(view: View, ms: number, margin = 0.05): View {
  const span = spanMs(view);
  if (ms < view.startMs + span * margin) return { ...view, startMs: ms - span * margin };
  if (ms > view.startMs + span * (1 - margin)) return { ...view, startMs: ms - span * (1 - margin) };
  return view;
}

/** A view between two others, for animation. Zoom goes evenly for the eye: by factors, around the point that rests. */
export function between(a: View, b: View, share: number): View {
  if (share <= 0) return a;
  if (share >= 1) return b;
  const msPerPx = a.msPerPx * (b.msPerPx / a.msPerPx) ** share;
  const change = b.msPerPx - a.msPerPx;
  const progress = Math.abs(change) < 1e-9 * a.msPerPx ? share : (msPerPx - a.msPerPx) / change;
  return { widthPx: b.widthPx, msPerPx, startMs: a.startMs + (b.startMs - a.startMs) * progress };
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
