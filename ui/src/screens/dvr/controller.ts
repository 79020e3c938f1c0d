// One stream's archive on the screen: ties player, timeline, limiters, locks and address bar together. In: what people
// do. Out: a state to draw. The parts know nothing of each other.

import { createLock, getLocks, releaseLock } from "../../api/client.ts";
import type { Lock, Stream } from "../../api/types.ts";
import { playable } from "../../player/codecs.ts";
import { Player } from "../../player/player.ts";
import { LIVE_MS } from "../../player/window.ts";
import { Archive } from "../../state/archive.ts";
import { preferences } from "../../state/preferences.ts";
import { note, type Route, route } from "../../state/route.ts";
import { server, serverNow } from "../../state/server.ts";
import { Store } from "../../state/store.ts";
import { formatCompact, formatLength, formatMoment } from "../../time/format.ts";
import { HOUR_MS, MINUTE_MS } from "../../time/zone.ts";
import { marked, type Selection, selectionOf, type Side } from "../../timeline/limiters.ts";
import { around, gapsBetween } from "../../timeline/ranges.ts";
import { endMs, spanMs, type View } from "../../timeline/scale.ts";
import { Pictures } from "../../timeline-view/pictures.ts";
import { TimelineView, type TimelineParts } from "../../timeline-view/timeline-view.ts";

export interface GapNotice {
  atMs: number;
  beforeMs: number | null;
  nextMs: number | null;
  /** The neighbours are still being asked for. */
  asking: boolean;
}

export interface DvrState {
  /** What is shown, to a quarter of a second; for everything that need not be exact. */
  playheadMs: number | null;
  selection: Selection | null;
  shown: Selection;
  gap: GapNotice | null;
  locks: Lock[];
  locksError: string | null;
  /** A sentence that goes away by itself. */
  toast: string | null;
  remark: string | null;
}

const DEFAULT_SPAN_MS = HOUR_MS;
const TOAST_MS = 5000;
/** A recorder that was started anew records by then. */
const AWAITS_LIVE_MS = 30_000;

export class DvrController {
  readonly name: string;
  readonly state: Store<DvrState>;
  readonly archive: Archive;
  player!: Player;
  timeline: TimelineView | null = null;
  readonly #pictures: Pictures;
  #video!: HTMLVideoElement;
  #parkedMs: number | null = null;
  #frame = 0;
  #lastTold = 0;
  #lastNoted = 0;
  #lastStep = -Infinity;
  #jumpFrom: number | null = null;
  #toastTimer: ReturnType<typeof setTimeout> | undefined;
  #unsubscribe: (() => void)[] = [];
  #lastEdge = 0;
  #turn = 0;
  /** Opened to see what is on, while nothing was: if it begins soon, and nobody has gone elsewhere, it is shown. */
  #awaitsLiveUntilMs = 0;

  constructor(name: string) {
    this.name = name;
    const now = serverNow();
    this.state = new Store<DvrState>({
      playheadMs: null,
      selection: null,
      shown: selectionOf(now - DEFAULT_SPAN_MS, now),
      gap: null,
      locks: [],
      locksError: null,
      toast: null,
      remark: null,
    });
    this.archive = new Archive(name, serverNow, () => this.stream?.live_edge_ms ?? 0);
    this.#pictures = new Pictures(name, () => (this.#videoPlayable() ? "mp4" : "jpg"));
  }

  get stream(): Stream | undefined {
    return server.value.streams.get(this.name);
  }

  /** The archive grows: there is a live to follow. */
  get isLive(): boolean {
    const stream = this.stream;
    return stream?.state === "recording" && stream.live_edge_ms !== null && serverNow() - stream.live_edge_ms < 2 * MINUTE_MS;
  }

  get zone(): string {
    return preferences.value.zone;
  }

  get frameMs(): number {
    const rate = this.stream?.tracks.find((t) => t.kind === "video")?.frame_rate_milli;
    return rate ? 1_000_000 / rate : 40;
  }

  start(video: HTMLVideoElement, parts: TimelineParts): void {
    this.#video = video;
    this.player = new Player(video, this.name, {
      now: serverNow,
      liveEdge: () => (this.isLive ? (this.stream?.live_edge_ms ?? null) : null),
      recordedEnd: () => this.stream?.live_edge_ms ?? null,
      tracks: () => this.#choice().tracks,
      mediaSeconds: (from, to) => {
        // At the resolution of the bar, or as if there were no gap where nobody has looked.
        const view = this.timeline?.view;
        if (!view) return (to - from) / 1000;
        const { spans, unknown } = this.archive.lookup({ ...view, startMs: from, widthPx: Math.max(1, (to - from) / view.msPerPx) });
        const gaps = unknown.length > 0 ? [] : gapsBetween(spans, from, to);
        return Math.max(0, to - from - gaps.reduce((sum, gap) => sum + gap.toMs - gap.fromMs, 0)) / 1000;
      },
      onGap: (at, next) => void this.#atGap(at, next),
      onWindowEnd: (at) => void this.#continueAt(at),
    });
    const from = route.value.route;
    const now = serverNow();
    const { fromMs, toMs } = this.#initialView(from, now);
    this.timeline = new TimelineView(
      parts,
      {
        now: serverNow,
        knownEnd: () => this.knownEnd(),
        zone: () => this.zone,
        locks: () => this.state.value.locks,
        playhead: () => this.playheadMs(),
        archive: () => ({ fromMs: this.stream?.first_ms ?? serverNow() - HOUR_MS, toMs: serverNow() }),
        lookup: (view) => this.archive.lookup(view),
        picture: (ms, step) => this.#pictures.at(ms, step),
        onSeek: (ms) => this.seek(ms),
        onView: (view, settled) => this.#onView(view, settled),
        onSelection: (selection, settled) => this.#onSelection(selection, settled),
      },
      fromMs,
      toMs,
    );
    this.archive.onChange = () => this.timeline?.invalidate();
    this.#pictures.onPicture = () => this.timeline?.invalidate();
    this.archive.want([this.timeline.view, this.timeline.overviewView]);
    this.#unsubscribe = [
      server.subscribe(() => this.#onServer()),
      preferences.subscribe(() => this.timeline?.themeChanged()),
      route.subscribe(({ route: to, by }) => {
        if (by === "browser" && to.stream === this.name && to.tab === "dvr") this.#apply(to);
      }),
    ];
    this.#apply(from);
    void this.loadLocks();
    this.#tick();
  }

  destroy(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#toastTimer);
    for (const end of this.#unsubscribe) end();
    this.player?.destroy();
    this.timeline?.destroy();
    this.archive.destroy();
    this.#pictures.destroy();
  }

  playheadMs(): number | null {
    return this.#parkedMs ?? this.player?.utcMs() ?? null;
  }

  knownEnd(): number {
    const stream = this.stream;
    return stream?.state === "recording" && this.isLive ? stream.live_edge_ms! : serverNow();
  }

  // Playing.

  /** Somebody wants to see this moment. */
  seek(ms: number, play = true): void {
    this.#awaitsLiveUntilMs = 0;
    const turn = (this.#turn += 1);
    const now = serverNow();
    if (ms > now) {
      if (this.isLive) this.goLive();
      else this.toast("This lies in the future.");
      return;
    }
    this.state.update({ gap: null });
    this.#parkedMs = null;
    note({ tMs: Math.round(ms) }, this.#isStep());
    this.#lastNoted = performance.now();
    const near = this.timeline ? this.archive.lookup(this.timeline.view) : { spans: [], unknown: [] };
    const known = around(near.spans, ms);
    const atEdge = this.isLive && ms >= (this.stream?.live_edge_ms ?? now) - LIVE_MS / 2;
    if (atEdge) this.player.openLive(play);
    else if (!known.recorded && near.unknown.length === 0) void this.#atGap(ms, null, turn, play);
    else this.#open(ms, play);
  }

  goLive(): void {
    this.#awaitsLiveUntilMs = 0;
    this.#turn += 1;
    this.#parkedMs = null;
    this.state.update({ gap: null });
    note({ tMs: null }, true);
    if (!this.#refused()) this.player.openLive(true);
    const now = serverNow();
    const view = this.timeline?.view;
    if (this.timeline && view && (endMs(view) < now || view.startMs > now)) {
      const span = spanMs(view);
      this.timeline.show(now - span * 0.85, now + span * 0.15);
    }
  }

  #open(ms: number, play: boolean): void {
    if (!this.#refused(ms)) this.player.open(ms, play);
  }

  #choice() {
    const stream = this.stream;
    if (!stream || typeof MediaSource === "undefined") return { tracks: null, refusal: null, remark: null };
    return playable(stream.tracks, (type) => MediaSource.isTypeSupported(type));
  }

  #videoPlayable(): boolean {
    return this.#choice().refusal === null;
  }

  /** A codec this browser cannot play: said at once, instead of after an error deep in the player. */
  #refused(atMs: number | null = null): boolean {
    const { refusal, remark } = this.#choice();
    this.state.update({ remark });
    if (!refusal) return false;
    this.player.refuse(refusal);
    this.#parkedMs = atMs;
    this.timeline?.invalidate();
    return true;
  }

  async #atGap(ms: number, nextMs: number | null, turn = (this.#turn += 1), play = true): Promise<void> {
    this.#parkedMs = ms;
    this.timeline?.invalidate();
    this.state.update({ gap: { atMs: ms, beforeMs: null, nextMs, asking: true } });
    try {
      const found = await this.archive.around(ms, this.stream?.first_ms ?? null);
      if (turn !== this.#turn) return;
      if (found.recorded && nextMs === null) {
        // The bar was drawn too coarsely: something is recorded here after all.
        this.#parkedMs = null;
        this.state.update({ gap: null });
        this.#open(ms, play);
        return;
      }
      this.player.stop();
      this.state.update({ gap: { atMs: ms, beforeMs: found.recorded ? null : found.beforeMs, nextMs: nextMs ?? found.nextMs, asking: false } });
    } catch {
      if (turn !== this.#turn) return;
      this.player.stop();
      this.state.update({ gap: { atMs: ms, beforeMs: null, nextMs, asking: false } });
    }
  }

  /** A finished window is over: on with the next one, over a gap if there is one. */
  async #continueAt(ms: number): Promise<void> {
    const turn = (this.#turn += 1);
    const found = await this.archive.around(ms, null).catch(() => null);
    if (turn !== this.#turn) return;
    if (!found || found.nextMs === null) {
      this.toast("The recording ends here.");
      this.player.pause();
      return;
    }
    if (!found.recorded) this.#tellJump(ms, found.nextMs);
    this.player.open(found.nextMs, true);
  }

  #tellJump(fromMs: number, toMs: number): void {
    this.toast(`Nothing is recorded for ${formatLength(toMs - fromMs)}: went on at ${formatMoment(toMs, this.zone)}.`);
  }

  async jumpToEdge(direction: 1 | -1): Promise<void> {
    const at = this.playheadMs();
    if (at === null) return;
    try {
      const edge = await this.archive.nextEdge(at, direction, this.stream?.first_ms ?? null);
      if (edge === null) this.toast(direction === 1 ? "There is no later recording." : "There is no earlier recording.");
      else this.seek(edge, this.player.wantsPlay);
    } catch {
      this.toast("The server does not answer.");
    }
  }

  stepBy(ms: number): void {
    this.#awaitsLiveUntilMs = 0;
    const at = this.playheadMs();
    if (at === null) return;
    if (this.#parkedMs !== null) this.seek(at + ms, false);
    else this.player.stepBy(ms);
    this.#noteSoon();
  }

  seekBy(ms: number): void {
    const at = this.playheadMs();
    if (at !== null) this.seek(at + ms, this.player.wantsPlay);
  }

  savePicture(): void {
    const video = this.#video;
    const at = this.playheadMs();
    if (!video.videoWidth || at === null || this.state.value.gap) {
      this.toast("There is no picture to save.");
      return;
    }
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d")!.drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      if (!blob) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${this.name.replaceAll("/", "-")}-${formatCompact(at, "UTC")}-${String(Math.floor(at) % 1000).padStart(3, "0")}Z.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      this.toast(`Saved as ${link.download}.`);
    }, "image/png");
  }

  // Selection and locks.

  mark(side: Side): void {
    const at = this.playheadMs();
    if (at === null || !this.timeline) return;
    const end = this.knownEnd();
    const { shown } = this.timeline;
    const recorded = shown.fromMs < end ? { fromMs: shown.fromMs, toMs: Math.min(shown.toMs, Math.floor(end / 1000) * 1000) } : shown;
    this.select(marked(this.state.value.selection, side, at, recorded));
  }

  select(selection: Selection | null): void {
    this.timeline?.setSelection(selection);
    this.#onSelection(selection, true);
  }

  showSelection(selection: Selection): void {
    const room = (selection.toMs - selection.fromMs) * 0.15;
    this.timeline?.show(selection.fromMs - room, selection.toMs + room);
  }

  async loadLocks(): Promise<void> {
    try {
      this.state.update({ locks: (await getLocks(this.name)).sort((a, b) => a.from_ms - b.from_ms), locksError: null });
    } catch (error) {
      this.state.update({ locksError: error instanceof Error ? error.message : "The locks could not be read." });
    }
    this.timeline?.invalidate();
  }

  async lock(selection: Selection, title: string): Promise<void> {
    await createLock(this.name, selection.fromMs, selection.toMs, title);
    await this.loadLocks();
  }

  async release(lock: Lock): Promise<void> {
    await releaseLock(this.name, lock.id);
    await this.loadLocks();
  }

  toast(text: string): void {
    clearTimeout(this.#toastTimer);
    this.state.update({ toast: text });
    this.#toastTimer = setTimeout(() => this.state.update({ toast: null }), TOAST_MS);
  }

  // What comes from outside.

  #initialView(from: Route, now: number): { fromMs: number; toMs: number } {
    const span = from.spanMs ?? DEFAULT_SPAN_MS;
    if (from.startMs !== null) return { fromMs: from.startMs, toMs: from.startMs + span };
    if (from.tMs !== null) return { fromMs: from.tMs - span / 2, toMs: from.tMs + span / 2 };
    const end = this.isLive ? now + span * 0.1 : (this.stream?.live_edge_ms ?? now) + span * 0.1;
    return { fromMs: end - span, toMs: end };
  }

  /** Goes where the address bar points. */
  #apply(to: Route): void {
    const now = serverNow();
    this.#awaitsLiveUntilMs = 0;
    if (this.timeline) {
      const { fromMs, toMs } = this.#initialView(to, now);
      this.timeline.show(fromMs, toMs, false);
      const selection = to.inMs !== null && to.outMs !== null && to.outMs > to.inMs ? selectionOf(to.inMs, to.outMs) : null;
      this.timeline.setSelection(selection);
      this.state.update({ selection });
    }
    this.#turn += 1;
    this.#parkedMs = null;
    this.state.update({ gap: null });
    const stream = this.stream;
    if (!stream || stream.first_ms === null) {
      this.player.stop();
      return;
    }
    if (to.tMs !== null) {
      if (to.tMs > now) this.toast("The time in the address lies in the future.");
      else this.#open(to.tMs, true);
    } else if (this.isLive) {
      if (!this.#refused()) this.player.openLive(true);
    } else if (stream.live_edge_ms !== null) {
      this.#open(Math.max(stream.first_ms, stream.live_edge_ms - 10_000), false);
      this.#awaitsLiveUntilMs = now + AWAITS_LIVE_MS;
    }
  }

  #onServer(): void {
    const stream = this.stream;
    if (this.player.wantsPlay || this.player.state.value.reverse > 0) this.#awaitsLiveUntilMs = 0;
    if (this.isLive && serverNow() < this.#awaitsLiveUntilMs) this.goLive();
    const edge = stream?.live_edge_ms ?? 0;
    if (edge !== this.#lastEdge) {
      const began = this.#lastEdge === 0 && edge !== 0;
      this.#lastEdge = edge;
      this.archive.refresh();
      this.timeline?.invalidate();
      if (began && this.player.state.value.phase === "idle" && !this.state.value.gap) this.#apply(route.value.route);
    }
  }

  #onView(view: View, settled: boolean): void {
    if (!this.timeline) return;
    this.archive.want([view, this.timeline.overviewView]);
    this.state.update({ shown: selectionOf(view.startMs, endMs(view)) });
    if (settled) note({ startMs: Math.round(view.startMs), spanMs: spanMs(view) }, false);
  }

  #onSelection(selection: Selection | null, settled: boolean): void {
    this.#awaitsLiveUntilMs = 0;
    this.state.update({ selection });
    if (settled) note({ inMs: selection?.fromMs ?? null, outMs: selection?.toMs ?? null }, this.#isStep());
  }

  /** What follows within a moment, such as a key held down, is one step back together. */
  #isStep(): boolean {
    const now = performance.now();
    const step = now - this.#lastStep > 1000;
    this.#lastStep = now;
    return step;
  }

  #noteSoon(): void {
    this.#lastNoted = -Infinity;
  }

  #tick(): void {
    this.#frame = requestAnimationFrame(() => this.#tick());
    const timeline = this.timeline;
    if (!timeline) return;
    timeline.playheadMoved();
    const now = performance.now();
    if (now - this.#lastTold < 200) return;
    this.#lastTold = now;
    const at = this.playheadMs();
    this.state.update({ playheadMs: at });
    const { phase, live, reverse } = this.player.state.value;
    
    if (at === null) return;
    if (phase === "playing") {
      timeline.follow(at);
      // Playing runs over a gap without a stop: it is said.
      const before = this.#jumpFrom;
      const rate = Math.max(1, this.player.state.value.rate);
      if (before !== null && reverse === 0 && at - before > 2500 * rate + 500 && at - before < 400 * 24 * HOUR_MS && !this.#video.seeking) this.#tellJump(before, at);
    }
    this.#jumpFrom = phase === "playing" && !this.#video.seeking ? at : null;
    // The address follows what is played, without a step back for each second.
    if (!live && this.#parkedMs === null && now - this.#lastNoted > 5000) {
      this.#lastNoted = now;
      note({ tMs: Math.round(at) }, false);
    }
  }
}
