// The timeline on the screen: a canvas with the bar, two limiters, the whole archive in a strip, a picture under the
// pointer. In: what its host knows, gestures. Out: calls to the host. Never: asks the server, plays.

import type { Lock } from "../api/types.ts";
import { formatDate, formatMoment, formatTime } from "../time/format.ts";
import { MINUTE_MS, SECOND_MS } from "../time/zone.ts";
import { moved, type Selection, selectionOf, type Side } from "../timeline/limiters.ts";
import type { Span } from "../timeline/ranges.ts";
import { between, centreMs, clamp, clampView, endMs, fit, MIN_SPAN_MS, pan, resized, revealed, timeAt, type View, xOf, zoomAt } from "../timeline/scale.ts";
import { type Candidate, edgesNear, snapped } from "../timeline/snap.ts";
import { listen } from "./gestures.ts";
import { OVERVIEW_HEIGHT, type Palette, paint, paintOverview, ROWS } from "./paint.ts";

export interface TimelineHost {
  now(): number;
  knownEnd(): number;
  zone(): string;
  locks(): readonly Lock[];
  playhead(): number | null;
  /** The whole archive, for the strip below. */
  archive(): { fromMs: number; toMs: number };
  lookup(view: View): { spans: Span[]; unknown: Span[] };
  picture(ms: number, stepMs: number): ImageBitmap | null | undefined;
  onSeek(ms: number): void;
  /** What is shown has changed; `settled`: and the hand has let go. */
  onView(view: View, settled: boolean): void;
  onSelection(selection: Selection | null, settled: boolean): void;
}

export interface TimelineParts {
  root: HTMLElement;
  canvas: HTMLCanvasElement;
  overview: HTMLCanvasElement;
  from: HTMLElement;
  to: HTMLElement;
  hover: HTMLElement;
  hoverCanvas: HTMLCanvasElement;
  hoverTime: HTMLElement;
}

/** Time constant of moving to a new view. */
const EASE_MS = 55;
/** Where on the bar the playhead turns the page. */
const FOLLOW_AT = 0.97;

export class TimelineView {
  readonly #parts: TimelineParts;
  readonly #host: TimelineHost;
  readonly #gone = new AbortController();
  readonly #context: CanvasRenderingContext2D;
  readonly #overviewContext: CanvasRenderingContext2D;
  readonly #observer: ResizeObserver;
  #view: View;
  #target: View;
  #selection: Selection | null = null;
  #dragging: Side | null = null;
  #scrubMs: number | null = null;
  #hoverX: number | null = null;
  #palette: Palette | null = null;
  #frame = 0;
  #lastFrameAt = 0;
  #dirty = true;
  #busy: boolean | null = null;
  #drawnPlayheadX = NaN;
  #fling = 0;
  /** Where the playhead stood on the bar, as long as nobody moves the bar. */
  #followedX = NaN;
  #settleTimer: ReturnType<typeof setTimeout> | undefined;
  /** How long the last frame took to draw, in milliseconds: for measurements. */
  drawMs = 0;

  constructor(parts: TimelineParts, host: TimelineHost, fromMs: number, toMs: number) {
    this.#parts = parts;
    this.#host = host;
    this.#context = parts.canvas.getContext("2d", { alpha: false })!;
    this.#overviewContext = parts.overview.getContext("2d", { alpha: false })!;
    const width = Math.max(50, parts.canvas.clientWidth);
    this.#view = clampView(fit({ startMs: 0, msPerPx: 1, widthPx: width }, fromMs, toMs), host.now());
    this.#target = this.#view;
    const { signal } = this.#gone;
    listen(
      parts.canvas,
      {
        onClick: (x) => host.onSeek(timeAt(this.#view, x)),
        onGrab: (x, y, shift) => this.#grab(x, y, shift),
        onPan: (dx) => this.#setNow(pan(this.#target, dx)),
        onFling: (velocity) => {
          if (Math.abs(velocity) > 120) this.#fling = clamp(velocity, -6000, 6000);
          this.invalidate();
        },
        onZoom: (factor, x) => this.#setTarget(zoomAt(this.#target, factor, x)),
        onEnd: () => this.#settle(),
        onHover: (x) => this.#hover(x),
      },
      signal,
    );
    listen(
      parts.overview,
      {
        onClick: (x) => this.#centreFromOverview(x, true),
        onGrab: () => ({
          move: (x) => this.#centreFromOverview(x, false),
          end: () => this.#settle(),
        }),
        onPan: () => {},
        onFling: () => {},
        onZoom: (factor) => this.zoomBy(factor),
        onEnd: () => {},
        onHover: () => {},
      },
      signal,
    );
    this.#limiter(parts.from, "from", signal);
    this.#limiter(parts.to, "to", signal);
    this.#observer = new ResizeObserver(() => this.#resize());
    this.#observer.observe(parts.canvas);
    for (const query of ["(prefers-color-scheme: dark)", "(prefers-reduced-motion: reduce)"]) {
      matchMedia(query).addEventListener("change", () => this.themeChanged(), { signal });
    }
    this.#resize();
  }

  get view(): View {
    return this.#target;
  }

  /** The period that is shown (or being moved to), as the limiters stand when nothing is selected. */
  get shown(): Selection {
    return selectionOf(this.#target.startMs, endMs(this.#target));
  }

  destroy(): void {
    this.#gone.abort();
    this.#observer.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#settleTimer);
  }

  themeChanged(): void {
    this.#palette = null;
    this.invalidate();
  }

  invalidate(): void {
    this.#dirty = true;
    if (!this.#frame) this.#frame = requestAnimationFrame((at) => this.#tick(at));
  }

  /** The playhead may have moved: drawn only if that can be seen. */
  playheadMoved(): void {
    const at = this.#scrubMs ?? this.#host.playhead();
    const x = at === null ? NaN : Math.round(xOf(this.#view, at));
    if (!Object.is(x, this.#drawnPlayheadX)) this.invalidate();
  }

  zoomBy(factor: number): void {
    const playhead = this.#host.playhead();
    const x = playhead === null ? NaN : xOf(this.#target, playhead);
    // Around the playhead if it can be seen, else around the middle.
    this.#setTarget(zoomAt(this.#target, factor, x >= 0 && x <= this.#target.widthPx ? x : this.#target.widthPx / 2));
    this.#settle();
  }

  moveBy(share: number): void {
    this.#setTarget(pan(this.#target, share * this.#target.widthPx));
    this.#settle();
  }

  show(fromMs: number, toMs: number, animate = true): void {
    this.#setTarget(fit(this.#target, fromMs, toMs));
    if (!animate) this.#view = this.#target;
    this.#settle();
  }

  reveal(ms: number, margin = 0.05): void {
    if (this.#dragging || this.#scrubMs !== null) return;
    const next = revealed(this.#target, ms, margin);
    if (next === this.#target) return;
    this.#setTarget(next);
    this.#settle();
  }

  /** Turns the page when the playhead runs off the right end; a view in which it stands there already is left alone. */
  follow(ms: number): void {
    const x = xOf(this.#target, ms) / this.#target.widthPx;
    const before = this.#followedX;
    this.#followedX = x;
    if (this.#dragging || this.#scrubMs !== null || this.#fling || this.#view !== this.#target) return;
    if (x < FOLLOW_AT || x > 1.05 || !(before >= 0 && before < FOLLOW_AT)) return;
    this.#setTarget(revealed(this.#target, ms, 0.3));
    this.#settle();
  }

  setSelection(selection: Selection | null): void {
    this.#selection = selection;
    this.#placeLimiters();
    this.invalidate();
  }

  #setNow(view: View): void {
    this.#target = clampView(view, this.#host.now());
    this.#view = this.#target;
    this.#fling = 0;
    this.#followedX = NaN;
    this.#host.onView(this.#target, false);
    this.invalidate();
  }

  #setTarget(view: View): void {
    this.#target = clampView(view, this.#host.now());
    this.#fling = 0;
    this.#followedX = NaN;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) this.#view = this.#target;
    this.#host.onView(this.#target, false);
    this.invalidate();
  }

  #settle(): void {
    clearTimeout(this.#settleTimer);
    this.#settleTimer = setTimeout(() => {
      this.#host.onView(this.#target, true);
      this.#describe();
    }, 250);
  }

  #resize(): void {
    const { canvas, overview } = this.#parts;
    const dpr = devicePixelRatio || 1;
    const width = Math.max(50, canvas.clientWidth);
    canvas.width = Math.round(width * dpr);
    canvas.height = Math.round(ROWS.height * dpr);
    const overviewWidth = Math.max(50, overview.clientWidth);
    overview.width = Math.round(overviewWidth * dpr);
    overview.height = Math.round(OVERVIEW_HEIGHT * dpr);
    this.#view = resized(this.#view, width);
    this.#target = resized(this.#target, width);
    this.#host.onView(this.#target, false);
    this.#settle();
    // At once: a canvas that was resized is empty until it is drawn.
    this.#draw();
  }

  #tick(at: number): void {
    this.#frame = 0;
    const dt = Math.min(50, at - this.#lastFrameAt || 16);
    this.#lastFrameAt = at;
    if (this.#fling) {
      this.#target = clampView(pan(this.#target, (this.#fling * dt) / 1000), this.#host.now());
      this.#view = this.#target;
      this.#fling *= Math.exp(-dt / 220);
      if (Math.abs(this.#fling) < 20) {
        this.#fling = 0;
        this.#settle();
      }
      this.#host.onView(this.#target, false);
      this.#dirty = true;
    } else if (this.#view !== this.#target) {
      const next = between(this.#view, this.#target, 1 - Math.exp(-dt / EASE_MS));
      const near = Math.abs(next.startMs - this.#target.startMs) < next.msPerPx * 0.3 && Math.abs(next.msPerPx / this.#target.msPerPx - 1) < 0.0005;
      this.#view = near ? this.#target : next;
      this.#dirty = true;
    }
    if (this.#dirty) this.#draw();
    if (this.#fling || this.#view !== this.#target) this.invalidate();
  }

  #draw(): void {
    this.#dirty = false;
    const began = performance.now();
    const host = this.#host;
    const view = this.#view;
    const dpr = devicePixelRatio || 1;
    this.#palette ??= readPalette(this.#parts.root);
    const playheadMs = this.#scrubMs ?? host.playhead();
    this.#drawnPlayheadX = playheadMs === null ? NaN : Math.round(xOf(view, playheadMs));
    const known = host.lookup(view);
    const now = host.now();
    this.#tellBusy(view !== this.#target || known.unknown.some((span) => span.fromMs < now));
    paint(this.#context, {
      view,
      dpr,
      zone: host.zone(),
      nowMs: now,
      knownEndMs: host.knownEnd(),
      ...known,
      locks: host.locks(),
      selection: this.#selection,
      playheadMs,
      hoverX: this.#hoverX,
      palette: this.#palette,
    });
    const all = this.#overviewView();
    paintOverview(this.#overviewContext, { all, dpr, shown: view, knownEndMs: host.knownEnd(), ...host.lookup(all), playheadMs, palette: this.#palette });
    this.#placeLimiters();
    if (this.#hoverX !== null) this.#drawHover(this.#hoverX);
    this.drawMs = performance.now() - began;
  }

  /** The bar is on its way, or has not all that it is to show. */
  #tellBusy(busy: boolean): void {
    if (busy === this.#busy) return;
    this.#busy = busy;
    this.#parts.canvas.setAttribute("aria-busy", String(busy));
  }

  /** The archive from end to end, in the width of the strip. */
  #overviewView(): View {
    const { fromMs, toMs } = this.#host.archive();
    const widthPx = Math.max(50, this.#parts.overview.clientWidth);
    const span = Math.max(toMs - fromMs, MIN_SPAN_MS * 30);
    return { startMs: toMs - span, msPerPx: span / widthPx, widthPx };
  }

  get overviewView(): View {
    return this.#overviewView();
  }

  #centreFromOverview(x: number, settle: boolean): void {
    const at = timeAt(this.#overviewView(), x);
    this.#setTarget(pan(this.#target, (at - centreMs(this.#target)) / this.#target.msPerPx));
    if (settle) this.#settle();
  }

  #describe(): void {
    const { canvas } = this.#parts;
    const view = this.#target;
    const zone = this.#host.zone();
    const playhead = this.#host.playhead();
    canvas.dataset.startMs = String(view.startMs);
    canvas.dataset.msPerPx = String(view.msPerPx);
    canvas.setAttribute("aria-valuemin", String(Math.floor(view.startMs / 1000)));
    canvas.setAttribute("aria-valuemax", String(Math.ceil(endMs(view) / 1000)));
    canvas.setAttribute("aria-valuenow", String(Math.round(clamp(playhead ?? centreMs(view), view.startMs, endMs(view)) / 1000)));
    const shown = `Showing ${formatMoment(view.startMs, zone)} to ${formatMoment(endMs(view), zone)}.`;
    canvas.setAttribute("aria-valuetext", `${playhead === null ? "Nothing is played." : `Playing ${formatMoment(playhead, zone)}.`} ${shown}`);
  }

  // Dragging within the bar.

  #grab(x: number, y: number, shift: boolean): { move(x: number): void; end(x: number, cancelled: boolean): void } | null {
    const playhead = this.#host.playhead();
    if (shift) {
      const anchor = this.#snap(timeAt(this.#view, x), null);
      return {
        move: (to) => this.#select(selectionOf(anchor, this.#snap(timeAt(this.#view, to), null)), false),
        end: (to, cancelled) => {
          if (!cancelled) this.#select(selectionOf(anchor, this.#snap(timeAt(this.#view, to), null)), true);
        },
      };
    }
    if (playhead !== null && y < ROWS.bandTop && Math.abs(xOf(this.#view, playhead) - x) <= 12) {
      return {
        move: (to) => {
          this.#scrubMs = timeAt(this.#view, clamp(to, 0, this.#view.widthPx));
          this.invalidate();
        },
        end: (_, cancelled) => {
          const at = this.#scrubMs;
          this.#scrubMs = null;
          if (!cancelled && at !== null) this.#host.onSeek(at);
          this.invalidate();
        },
      };
    }
    return null;
  }

  #select(selection: Selection, settled: boolean): void {
    this.#selection = selection;
    this.#host.onSelection(selection, settled);
    this.invalidate();
  }

  #snap(ms: number, side: Side | null): number {
    const candidates: Candidate[] = edgesNear(this.#host.lookup(this.#view).spans, ms);
    const playhead = this.#host.playhead();
    if (playhead !== null) candidates.push({ ms: playhead, what: "playhead" });
    candidates.push({ ms: this.#host.knownEnd(), what: "live" });
    for (const lock of this.#host.locks()) candidates.push({ ms: lock.from_ms, what: "lock" }, { ms: lock.to_ms, what: "lock" });
    const found = snapped(ms, candidates, this.#view);
    // Whole seconds inwards: what is selected shall be recorded.
    if (found.what === "recording" && side === "from") return Math.ceil(found.ms / SECOND_MS) * SECOND_MS;
    if (found.what === "recording" && side === "to") return Math.floor(found.ms / SECOND_MS) * SECOND_MS;
    return found.ms;
  }

  // The limiters.

  #limiter(element: HTMLElement, side: Side, signal: AbortSignal): void {
    let offset = 0;
    let edgeTimer: ReturnType<typeof setInterval> | undefined;
    let pointerX = 0;
    let free = false;
    const place = (settled: boolean): void => {
      const x = clamp(pointerX - offset, 0, this.#view.widthPx);
      const ms = timeAt(this.#view, x);
      this.#select(moved(this.#selection ?? this.shown, side, free ? ms : this.#snap(ms, side)), settled);
    };
    const local = (event: PointerEvent): number => event.clientX - this.#parts.canvas.getBoundingClientRect().left;
    element.addEventListener(
      "pointerdown",
      (event) => {
        if (event.button !== 0) return;
        event.preventDefault();
        element.focus({ preventScroll: true });
        element.setPointerCapture(event.pointerId);
        this.#dragging = side;
        const at = (this.#selection ?? this.shown)[side === "from" ? "fromMs" : "toMs"];
        pointerX = local(event);
        offset = pointerX - clamp(xOf(this.#view, at), 0, this.#view.widthPx);
        // At the end of the bar the bar moves along.
        edgeTimer = setInterval(() => {
          const over = pointerX < -4 ? pointerX + 4 : pointerX > this.#view.widthPx + 4 ? pointerX - this.#view.widthPx - 4 : 0;
          if (over === 0) return;
          this.#setNow(pan(this.#target, clamp(over / 2, -30, 30)));
          place(false);
        }, 16);
      },
      { signal },
    );
    element.addEventListener(
      "pointermove",
      (event) => {
        if (this.#dragging !== side) return;
        pointerX = local(event);
        free = event.altKey;
        this.#hover(clamp(pointerX - offset, 0, this.#view.widthPx));
        place(false);
      },
      { signal },
    );
    const end = (): void => {
      if (this.#dragging !== side) return;
      clearInterval(edgeTimer);
      this.#dragging = null;
      this.#hover(null);
      if (this.#selection) this.#host.onSelection(this.#selection, true);
      this.#settle();
    };
    element.addEventListener("pointerup", end, { signal });
    element.addEventListener("pointercancel", end, { signal });
    signal.addEventListener("abort", () => clearInterval(edgeTimer));
    element.addEventListener(
      "keydown",
      (event) => {
        const steps: Record<string, number> = { ArrowLeft: -SECOND_MS, ArrowRight: SECOND_MS, ArrowDown: -SECOND_MS, ArrowUp: SECOND_MS, PageDown: -MINUTE_MS, PageUp: MINUTE_MS };
        const step = steps[event.key];
        if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        event.stopPropagation();
        const selection = this.#selection ?? this.shown;
        const at = selection[side === "from" ? "fromMs" : "toMs"];
        this.#select(moved(selection, side, at + step * (event.shiftKey ? 10 : 1)), true);
        this.reveal(side === "from" ? this.#selection!.fromMs : this.#selection!.toMs, 0.02);
      },
      { signal },
    );
  }

  #placeLimiters(): void {
    const view = this.#view;
    const zone = this.#host.zone();
    const selection = this.#selection ?? selectionOf(view.startMs, endMs(view));
    for (const side of ["from", "to"] as const) {
      const element = this.#parts[side];
      const ms = side === "from" ? selection.fromMs : selection.toMs;
      const x = this.#selection ? xOf(view, ms) : side === "from" ? 0 : view.widthPx;
      const shown = clamp(x, 0, view.widthPx);
      element.style.setProperty("transform", `translateX(${shown.toFixed(1)}px)`);
      element.classList.toggle("parked", this.#selection === null);
      element.classList.toggle("outside", this.#selection !== null && shown !== x);
      element.setAttribute("aria-valuemin", "0");
      element.setAttribute("aria-valuemax", String(Math.floor(this.#host.now() / 1000)));
      element.setAttribute("aria-valuenow", String(Math.round(ms / 1000)));
      element.setAttribute("aria-valuetext", formatMoment(ms, zone));
    }
  }

  // Under the pointer.

  #hover(x: number | null): void {
    if (x === this.#hoverX) return;
    this.#hoverX = x;
    this.#parts.hover.classList.toggle("shown", x !== null);
    this.invalidate();
  }

  #drawHover(x: number): void {
    const { hover, hoverCanvas, hoverTime, root } = this.#parts;
    const host = this.#host;
    const ms = timeAt(this.#view, x);
    const fine = this.#view.msPerPx < 50;
    const zone = host.zone();
    hoverTime.textContent = `${formatDate(ms, zone)} ${formatTime(ms, zone, fine ? "ms" : "seconds")}`;
    const picture = ms < host.knownEnd() ? host.picture(ms, this.#view.msPerPx * 8) : null;
    hoverCanvas.classList.toggle("none", picture === null);
    if (picture) {
      if (hoverCanvas.width !== picture.width || hoverCanvas.height !== picture.height) {
        hoverCanvas.width = picture.width;
        hoverCanvas.height = picture.height;
      }
      hoverCanvas.getContext("2d")?.drawImage(picture, 0, 0);
    }
    const half = hover.offsetWidth / 2;
    const left = clamp(x, half - 10, Math.max(half, root.clientWidth - half + 10));
    hover.style.setProperty("transform", `translateX(${(left - half).toFixed(0)}px)`);
  }
}

function readPalette(root: HTMLElement): Palette {
  const style = getComputedStyle(root);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim() || "#888";
  return {
    background: colour("tl-background"),
    surface: colour("surface"),
    text: colour("text"),
    faint: colour("text-faint"),
    line: colour("tl-line"),
    future: colour("tl-future"),
    unknown: colour("tl-unknown"),
    dim: colour("tl-dim"),
    lock: colour("tl-lock"),
    lockText: colour("tl-lock-text"),
  };
}
