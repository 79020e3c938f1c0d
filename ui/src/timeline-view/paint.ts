// Draws the timeline. In: a canvas context and what is to be seen. Never: listens, asks, decides.

import type { Lock } from "../api/types.ts";
import type { Selection } from "../timeline/limiters.ts";
import { type Span, strips } from "../timeline/ranges.ts";
import { endMs, type View, xOf } from "../timeline/scale.ts";
import { ruler } from "../timeline/ticks.ts";

/** What the colours of the bar mean, and their exact values: the same in light and dark. */
export const RECORDED = "#2f9e58";
export const GAP = "#d0373f";
export const CURRENT = "#1f6bff";

/** Heights in CSS pixels, from the top. */
export const ROWS = { sections: 20, ruler: 42, bandTop: 48, bandBottom: 104, locksTop: 108, locksBottom: 124, height: 126 } as const;

export interface Palette {
  background: string;
  surface: string;
  text: string;
  faint: string;
  line: string;
  future: string;
  unknown: string;
  dim: string;
  lock: string;
  lockText: string;
}

export interface Scene {
  view: View;
  dpr: number;
  zone: string;
  nowMs: number;
  /** Behind this nothing can be known yet: the live edge of a stream that is recorded, else now. */
  knownEndMs: number;
  spans: readonly Span[];
  unknown: readonly Span[];
  locks: readonly Lock[];
  selection: Selection | null;
  playheadMs: number | null;
  hoverX: number | null;
  palette: Palette;
}

const FONT = "11px system-ui, sans-serif";
const FONT_STRONG = "600 11px system-ui, sans-serif";

export function paint(context: CanvasRenderingContext2D, scene: Scene): void {
  const { view, dpr, palette } = scene;
  const width = view.widthPx;
  context.setTransform(dpr, 0, 0, dpr, 0, 0);
  context.fillStyle = palette.background;
  context.fillRect(0, 0, width, ROWS.height);
  paintRuler(context, scene);
  paintBand(context, scene);
  paintLocks(context, scene);
  if (scene.selection) paintSelection(context, scene, scene.selection);
  paintNow(context, scene);
  if (scene.hoverX !== null) {
    context.fillStyle = palette.text;
    context.globalAlpha = 0.55;
    context.fillRect(Math.round(scene.hoverX), ROWS.sections, 1, ROWS.bandBottom - ROWS.sections);
    context.globalAlpha = 1;
  }
  paintPlayhead(context, scene);
}

function paintRuler(context: CanvasRenderingContext2D, { view, zone, palette }: Scene): void {
  const marks = ruler(view, zone, view.widthPx < 500 ? 70 : 92);
  const width = view.widthPx;
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.font = FONT_STRONG;
  for (const section of marks.sections) {
    const x0 = xOf(view, section.fromMs);
    const x1 = Math.min(width, xOf(view, section.toMs));
    if (x0 > 0) {
      context.fillStyle = palette.line;
      context.fillRect(Math.round(x0), 2, 1, ROWS.sections - 2);
    }
    // The name stays in sight as long as its section does.
    const textWidth = context.measureText(section.label).width;
    const x = Math.min(Math.max(x0, 0) + 6, x1 - textWidth - 6);
    if (x >= x0 && x1 - Math.max(x0, 0) > textWidth * 0.6) {
      context.fillStyle = palette.faint;
      context.fillText(section.label, Math.max(x, x0 + 6), ROWS.sections / 2 + 1);
    }
  }
  context.fillStyle = palette.line;
  context.fillRect(0, ROWS.sections, width, 1);
  for (const ms of marks.minor) context.fillRect(Math.round(xOf(view, ms)), ROWS.ruler - 1, 1, 5);
  for (const tick of marks.major) {
    const x = Math.round(xOf(view, tick.ms));
    context.fillStyle = tick.strong ? palette.text : palette.faint;
    context.fillRect(x, ROWS.sections + 1, 1, ROWS.bandTop - ROWS.sections - 3);
    context.font = tick.strong ? FONT_STRONG : FONT;
    context.fillText(tick.label, x + 5, (ROWS.sections + ROWS.ruler) / 2);
  }
}

function paintBand(context: CanvasRenderingContext2D, { view, dpr, spans, unknown, knownEndMs, palette }: Scene): void {
  const device: View = { startMs: view.startMs, msPerPx: view.msPerPx / dpr, widthPx: view.widthPx * dpr };
  const height = ROWS.bandBottom - ROWS.bandTop;
  // Strips are whole pixels of the device.
  context.setTransform(1, 0, 0, 1, 0, 0);
  const top = Math.round(ROWS.bandTop * dpr);
  const tall = Math.round(height * dpr);
  for (const strip of strips(spans, unknown, device, knownEndMs, Math.max(1, Math.round(dpr)))) {
    const wide = strip.x1 - strip.x0;
    if (strip.kind === "mixed") {
      const red = Math.round(tall * strip.red);
      context.fillStyle = RECORDED;
      context.fillRect(strip.x0, top, wide, tall - red);
      context.fillStyle = GAP;
      context.fillRect(strip.x0, top + tall - red, wide, red);
      continue;
    }
    context.fillStyle = strip.kind === "recorded" ? RECORDED : strip.kind === "gap" ? GAP : strip.kind === "future" ? palette.future : palette.unknown;
    context.fillRect(strip.x0, top, wide, tall);
  }
  context.setTransform(dpr, 0, 0, dpr, 0, 0);
}

function paintLocks(context: CanvasRenderingContext2D, { view, locks, palette }: Scene): void {
  context.font = FONT;
  context.textBaseline = "middle";
  for (const lock of locks) {
    if (lock.to_ms < view.startMs || lock.from_ms > endMs(view)) continue;
    const x0 = Math.max(-2, xOf(view, lock.from_ms));
    const x1 = Math.max(x0 + 3, Math.min(view.widthPx + 2, xOf(view, lock.to_ms)));
    context.fillStyle = palette.lock;
    context.beginPath();
    context.roundRect(x0, ROWS.locksTop, x1 - x0, ROWS.locksBottom - ROWS.locksTop, 3);
    context.fill();
    if (x1 - x0 < 40) continue;
    context.save();
    context.clip();
    context.fillStyle = palette.lockText;
    padlock(context, Math.max(0, x0) + 6, (ROWS.locksTop + ROWS.locksBottom) / 2);
    context.fillText(lock.title, Math.max(0, x0) + 18, (ROWS.locksTop + ROWS.locksBottom) / 2 + 1);
    context.restore();
  }
}

function padlock(context: CanvasRenderingContext2D, x: number, y: number): void {
  context.fillRect(x, y - 1, 7, 5);
  context.lineWidth = 1.2;
  context.strokeStyle = context.fillStyle;
  context.beginPath();
  context.arc(x + 3.5, y - 1, 2.3, Math.PI, 0);
  context.stroke();
}

function paintSelection(context: CanvasRenderingContext2D, { view, palette }: Scene, selection: Selection): void {
  const x0 = Math.max(0, xOf(view, selection.fromMs));
  const x1 = Math.min(view.widthPx, xOf(view, selection.toMs));
  context.fillStyle = palette.dim;
  const height = ROWS.bandBottom - ROWS.bandTop;
  context.fillRect(0, ROWS.bandTop, Math.max(0, Math.min(view.widthPx, x0)), height);
  context.fillRect(Math.max(0, x1), ROWS.bandTop, Math.max(0, view.widthPx - x1), height);
  if (x1 <= x0) return;
  context.fillStyle = palette.text;
  context.fillRect(x0, ROWS.bandTop - 2, x1 - x0, 2);
  context.fillRect(x0, ROWS.bandBottom, x1 - x0, 2);
}

function paintNow(context: CanvasRenderingContext2D, { view, nowMs, palette }: Scene): void {
  const x = Math.round(xOf(view, nowMs));
  if (x < 0 || x > view.widthPx) return;
  context.fillStyle = CURRENT;
  context.globalAlpha = 0.6;
  for (let y = ROWS.bandTop - 3; y < ROWS.bandBottom + 3; y += 5) context.fillRect(x, y, 1, 3);
  context.globalAlpha = 1;
  // Its name stands in the future, where nothing else is.
  if (x > view.widthPx - 34) return;
  context.font = FONT;
  context.fillStyle = palette.faint;
  context.fillText("now", x + 5, (ROWS.bandTop + ROWS.bandBottom) / 2);
}

function paintPlayhead(context: CanvasRenderingContext2D, { view, playheadMs }: Scene): void {
  if (playheadMs === null) return;
  const x = Math.round(xOf(view, playheadMs));
  if (x < -10 || x > view.widthPx + 10) return;
  context.fillStyle = CURRENT;
  context.fillRect(x - 1, ROWS.sections + 4, 3, ROWS.bandBottom - ROWS.sections);
  context.beginPath();
  context.moveTo(x - 7, ROWS.sections);
  context.lineTo(x + 8, ROWS.sections);
  context.lineTo(x + 8, ROWS.sections + 9);
  context.lineTo(x + 0.5, ROWS.sections + 18);
  context.lineTo(x - 7, ROWS.sections + 9);
  context.closePath();
  context.fill();
}

export const OVERVIEW_HEIGHT = 18;

export interface OverviewScene {
  /** The whole archive. */
  all: View;
  dpr: number;
  shown: View;
  knownEndMs: number;
  spans: readonly Span[];
  unknown: readonly Span[];
  playheadMs: number | null;
  palette: Palette;
}

/** The whole archive in a narrow strip, and what part of it the bar shows. */
export function paintOverview(context: CanvasRenderingContext2D, { all, dpr, shown, knownEndMs, spans, unknown, playheadMs, palette }: OverviewScene): void {
  const device: View = { startMs: all.startMs, msPerPx: all.msPerPx / dpr, widthPx: all.widthPx * dpr };
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = palette.background;
  context.fillRect(0, 0, device.widthPx, OVERVIEW_HEIGHT * dpr);
  const top = Math.round(5 * dpr);
  const tall = Math.round((OVERVIEW_HEIGHT - 10) * dpr);
  for (const strip of strips(spans, unknown, device, knownEndMs, 1)) {
    context.fillStyle = strip.kind === "recorded" ? RECORDED : strip.kind === "gap" ? GAP : strip.kind === "mixed" ? RECORDED : strip.kind === "future" ? palette.future : palette.unknown;
    context.fillRect(strip.x0, top, strip.x1 - strip.x0, tall);
    if (strip.kind === "mixed") {
      const red = Math.round(tall * strip.red);
      context.fillStyle = GAP;
      context.fillRect(strip.x0, top + tall - red, strip.x1 - strip.x0, red);
    }
  }
  context.setTransform(dpr, 0, 0, dpr, 0, 0);
  const x0 = Math.max(0, xOf(all, shown.startMs));
  const x1 = Math.min(all.widthPx, xOf(all, endMs(shown)));
  const left = Math.min(x0, all.widthPx - 6);
  const wide = Math.max(6, x1 - left);
  context.fillStyle = palette.dim;
  context.fillRect(0, 5, left, OVERVIEW_HEIGHT - 10);
  context.fillRect(left + wide, 5, all.widthPx, OVERVIEW_HEIGHT - 10);
  context.strokeStyle = palette.text;
  context.lineWidth = 1.5;
  context.beginPath();
  context.roundRect(left + 0.75, 1.75, wide - 1.5, OVERVIEW_HEIGHT - 3.5, 3);
  context.stroke();
  if (playheadMs !== null) {
    context.fillStyle = CURRENT;
    context.fillRect(Math.round(xOf(all, playheadMs)) - 1, 2, 2, OVERVIEW_HEIGHT - 4);
  }
}
