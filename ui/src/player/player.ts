// The player: one video element that shows a stream's archive at a moment, or live. In: moments. Out: its state, told to
// whoever follows it. With hls.js where the browser has Media Source Extensions, natively where it plays HLS itself.

import type Hls from "hls.js";
import { playbackPath } from "../api/client.ts";
import { Store } from "../state/store.ts";
import { overHole, type Placed, positionAt, utcAt } from "../timeline/playhead.ts";
import { sentenceOf } from "./errors.ts";
import { extended, placedOf } from "./native.ts";
import { type Source, sourceFor } from "./window.ts";

export interface PlayerState {
  phase: "idle" | "loading" | "playing" | "paused" | "error";
  /** Playing follows the live edge. */
  live: boolean;
  buffering: boolean;
  rate: number;
  /** So many times backwards; 0: forwards. */
  reverse: number;
  error: string | null;
  audioTracks: { id: number; label: string }[];
  audioTrack: number;
}

export interface PlayerHost {
  now(): number;
  liveEdge(): number | null;
  /** Up to here everything is there, whether or not more will come. */
  recordedEnd(): number | null;
  /** For `?tracks=`. */
  tracks(): string[] | null;
  /** How many seconds are recorded from one moment to another, as far as that is known. */
  mediaSeconds(fromMs: number, toMs: number): number;
  /** There is nothing at the moment asked for; the playlist goes on at `nextMs`, where it knows. */
  onGap(atMs: number, nextMs: number | null): void;
  /** A finished window has been played to its end. */
  onWindowEnd(atMs: number): void;
}

export const RATES = [0.5, 1, 1.5, 2, 4, 8] as const;

const RETRY_MS = 3000;
/** What hls.js needs. Without it the browser plays HLS by itself, or not at all. */
const HAS_MSE = ["ManagedMediaSource", "MediaSource", "WebKitMediaSource"].some((name) => name in globalThis);
/** How often a playlist that grows is read for a browser that plays it by itself. */
const NATIVE_FOLLOW_MS = 5000;
const REVERSE_STEP_MS = 250;
/** So long after the last piece a still picture may take to appear. */
const STILL_WITHIN_MS = 300;

export class Player {
  readonly state = new Store<PlayerState>({
    phase: "idle",
    live: false,
    buffering: false,
    rate: 1,
    reverse: 0,
    error: null,
    audioTracks: [],
    audioTrack: -1,
  });
  readonly #video: HTMLVideoElement;
  readonly #name: string;
  readonly #host: PlayerHost;
  #hls: Hls | null = null;
  #source: Source | null = null;
  #placed: Placed[] = [];
  /** Where the element shall stand once it can. */
  #wantedMs: number | null = null;
  #wantsPlay = false;
  #recovered = 0;
  #opening = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #nativeTimer: ReturnType<typeof setTimeout> | undefined;
  #holeTimer: ReturnType<typeof setTimeout> | undefined;
  #reverseTimer: ReturnType<typeof setInterval> | undefined;
  readonly #gone = new AbortController();

  constructor(video: HTMLVideoElement, name: string, host: PlayerHost) {
    this.#video = video;
    this.#name = name;
    this.#host = host;
    const on = (event: string, take: () => void): void => video.addEventListener(event, take, { signal: this.#gone.signal });
    on("playing", () => {
      this.#wantedMs = null;
      this.state.update({ phase: "playing", buffering: false, error: null });
    });
    on("pause", () => {
      if (this.state.value.phase === "playing") this.state.update({ phase: "paused" });
    });
    on("waiting", () => this.state.update({ buffering: true }));
    on("seeked", () => {
      this.state.update({ buffering: false });
      // The place that was asked for, not the one where hls.js began.
      const at = this.#wantedMs === null ? null : utcAt(this.#placed, this.#video.currentTime);
      if (at !== null && Math.abs(at - this.#wantedMs!) < 100 && this.#video.readyState >= 2) this.#wantedMs = null;
    });
    on("canplay", () => this.state.update({ buffering: false }));
    on("loadeddata", () => {
      if (!this.#wantsPlay && this.state.value.phase === "loading") this.state.update({ phase: "paused", buffering: false });
    });
    on("ratechange", () => this.state.update({ rate: video.playbackRate }));
    on("ended", () => {
      if (this.#source?.toMs && this.#wantsPlay) this.#host.onWindowEnd(this.#source.toMs);
      else this.state.update({ phase: "paused" });
    });
    on("error", () => {
      if (!this.#hls && video.error) this.#fail("This browser cannot play this recording. Export it, or open a player link.");
    });
  }

  /** UTC of the picture on the screen, or of the one that is asked for. */
  utcMs(): number | null {
    if (this.#wantedMs !== null) return this.#wantedMs;
    return this.#source ? utcAt(this.#placed, this.#video.currentTime) : null;
  }

  get wantsPlay(): boolean {
    return this.#wantsPlay;
  }

  /** Shows a moment. */
  open(utcMs: number, play = this.#wantsPlay): void {
    this.#wantsPlay = play;
    const source = sourceFor(utcMs, this.#host.liveEdge(), this.#host.now(), HAS_MSE ? null : this.#host.recordedEnd());
    const known = source.kind === "live" ? null : positionAt(this.#placed, utcMs);
    if (known && this.#source && this.#source.kind !== "live" && this.state.value.phase !== "error") {
      if (known.skippedMs > 0) {
        this.#host.onGap(utcMs, utcMs + known.skippedMs);
        return;
      }
      this.#wantedMs = utcMs;
      this.#video.currentTime = known.position;
      this.#playOrPause();
      return;
    }
    if (source.kind === "live") this.openLive(play);
    else void this.#load(source, utcMs);
  }

  /** Shows what is on now. */
  openLive(play = true): void {
    this.#wantsPlay = play;
    this.#stopReverse();
    this.#video.playbackRate = 1;
    const edge = this.#host.liveEdge() ?? this.#host.now();
    void this.#load({ kind: "live", file: "index.fmp4.m3u8", fromMs: edge, toMs: null }, null);
  }

  play(): void {
    this.#wantsPlay = true;
    this.#stopReverse();
    this.#playOrPause();
  }

  pause(): void {
    this.#wantsPlay = false;
    this.#stopReverse();
    this.#video.pause();
    // A decoder that was behind shows an earlier picture than that of the clock: the one of this moment is sought.
    if (this.#hls && this.#video.readyState >= 1 && !this.#video.seeking) this.#video.currentTime = this.#video.currentTime;
    this.state.update({ phase: this.state.value.phase === "error" ? "error" : "paused", live: false });
  }

  toggle(): void {
    if (this.#wantsPlay || this.state.value.reverse > 0) this.pause();
    else this.play();
  }

  setRate(rate: number): void {
    this.#stopReverse();
    this.#video.playbackRate = rate;
  }

  /** J and L: each press doubles the speed in that direction; the other direction begins at one. */
  shuttle(direction: 1 | -1): void {
    const { reverse } = this.state.value;
    if (direction === 1) {
      const rate = this.#video.playbackRate;
      const faster = reverse === 0 && this.#wantsPlay ? Math.min(8, rate < 1 ? 1 : rate * 2) : 1;
      this.setRate(faster);
      this.play();
      return;
    }
    const speed = Math.min(8, reverse > 0 ? reverse * 2 : 1);
    this.#wantsPlay = false;
    this.#video.pause();
    this.#video.playbackRate = 1;
    this.state.update({ reverse: speed, live: false, phase: "playing" });
    clearInterval(this.#reverseTimer);
    this.#reverseTimer = setInterval(() => {
      const at = this.utcMs();
      // Media elements do not play backwards: pictures are sought one after the other, as fast as they come.
      if (at === null || this.#video.seeking) return;
      this.open(at - speed * REVERSE_STEP_MS, false);
    }, REVERSE_STEP_MS);
  }

  /** Steps and stops there. */
  stepBy(ms: number): void {
    const at = this.utcMs();
    if (at === null) return;
    this.pause();
    this.open(at + ms, false);
  }

  chooseAudio(id: number): void {
    if (!this.#hls) return;
    this.#hls.audioTrack = id;
    this.state.update({ audioTrack: id });
  }

  /** Something else is shown in place of the picture: a gap. */
  stop(): void {
    this.#opening += 1;
    this.#wantsPlay = false;
    this.#unload();
    this.state.update({ phase: "idle", live: false, buffering: false, error: null, reverse: 0, audioTracks: [], audioTrack: -1 });
  }

  refuse(sentence: string): void {
    this.#opening += 1;
    this.#unload();
    this.state.update({ phase: "error", error: sentence, buffering: false, live: false, audioTracks: [], audioTrack: -1 });
  }

  destroy(): void {
    this.#opening += 1;
    this.#gone.abort();
    this.#unload();
  }

  #unload(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#nativeTimer);
    clearTimeout(this.#holeTimer);
    this.#stopReverse();
    this.#hls?.destroy();
    this.#hls = null;
    this.#source = null;
    this.#placed = [];
    this.#wantedMs = null;
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  #stopReverse(): void {
    if (this.#reverseTimer === undefined) return;
    clearInterval(this.#reverseTimer);
    this.#reverseTimer = undefined;
    this.state.update({ reverse: 0, phase: "paused" });
  }

  #playOrPause(): void {
    if (!this.#wantsPlay) {
      this.#video.pause();
      return;
    }
    this.#video.play().catch((error: unknown) => {
      // Browsers let only silent pictures start by themselves.
      if (error instanceof DOMException && error.name === "NotAllowedError" && !this.#video.muted) {
        this.#wantsPlay = false;
        this.state.update({ phase: "paused" });
      }
    });
  }

  async #load(source: Source, utcMs: number | null): Promise<void> {
    const turn = (this.#opening += 1);
    const rate = this.#video.playbackRate;
    const reverse = this.#reverseTimer;
    this.#reverseTimer = undefined;
    this.#unload();
    this.#reverseTimer = reverse;
    this.#source = source;
    this.#wantedMs = utcMs;
    this.state.update({ phase: "loading", live: source.kind === "live", buffering: true, error: null, audioTracks: [], audioTrack: -1 });
    const tracks = this.#host.tracks();
    const url = `${playbackPath(this.#name)}/${source.file}${tracks ? `?tracks=${tracks.map(encodeURIComponent).join(",")}` : ""}`;
    const { default: HlsClass } = await import("hls.js");
    if (turn !== this.#opening) return;
    if (HlsClass.isSupported()) this.#loadWithHls(HlsClass, source, url, utcMs);
    else if (this.#video.canPlayType("application/vnd.apple.mpegurl")) this.#loadNatively(source, url, utcMs);
    else this.#fail("This browser plays neither Media Source Extensions nor HLS. Export the recording, or open a player link.");
    this.#video.defaultPlaybackRate = rate;
    this.#video.playbackRate = rate;
  }

  #loadNatively(source: Source, url: string, utcMs: number | null): void {
    const video = this.#video;
    const turn = this.#opening;
    const place = (): void => {
      if (turn !== this.#opening || utcMs === null) return;
      // Only now can the element be told where.
      const found = positionAt(this.#placed, utcMs);
      if (found && Math.abs(found.position - video.currentTime) > 0.5) video.currentTime = found.position;
    };
    const follow = async (): Promise<void> => {
      // The element does not say what it plays when: the playlist does.
      const parsed = await placedOf(url).catch(() => null);
      if (turn !== this.#opening) return;
      if (parsed) this.#placed = extended(this.#placed, parsed);
      if (source.kind !== "finished") this.#nativeTimer = setTimeout(() => void follow(), NATIVE_FOLLOW_MS);
    };
    void follow().then(() => {
      if (turn !== this.#opening) return;
      const found = utcMs === null ? null : positionAt(this.#placed, utcMs);
      if (utcMs !== null && (!found || found.skippedMs > 0)) {
        const first = this.#placed[0];
        this.#host.onGap(utcMs, found ? utcMs + found.skippedMs : first && first.utcMs > utcMs ? first.utcMs : null);
        return;
      }
      for (const event of ["loadedmetadata", "loadeddata", "canplay"]) video.addEventListener(event, place, { once: true, signal: this.#gone.signal });
      video.src = url;
      this.#playOrPause();
    });
  }

  #loadWithHls(HlsClass: typeof Hls, source: Source, url: string, utcMs: number | null): void {
    const hls = new HlsClass({
      enableWorker: false,
      // A still picture is wanted at once, a long buffer is not: people jump about.
      maxBufferLength: 20,
      backBufferLength: 30,
      liveSyncDurationCount: 2,
      liveDurationInfinity: true,
      ...(utcMs === null ? {} : { startPosition: this.#host.mediaSeconds(source.fromMs, utcMs) }),
      // Only the sliding live window may pull the picture to its edge.
      ...(source.kind === "live" ? {} : { liveMaxLatencyDurationCount: Infinity }),
    });
    this.#hls = hls;
    let placedOnce = utcMs === null;
    // The window may begin some seconds before it was asked to, with a whole segment: the exact place is known only now.
    const correct = (): void => {
      const found = this.#hls === hls && utcMs !== null ? positionAt(this.#placed, utcMs) : null;
      if (found && Math.abs(found.position - this.#video.currentTime) > 0.005) this.#video.currentTime = found.position;
    };
    this.#video.addEventListener("loadeddata", correct, { once: true, signal: this.#gone.signal });
    const take = (details: { fragments: { start: number; duration: number; programDateTime: number | null }[] }): void => {
      this.#placed = details.fragments.flatMap((f) => (f.programDateTime === null ? [] : [{ start: f.start, duration: f.duration, utcMs: f.programDateTime }]));
    };
    hls.on(HlsClass.Events.LEVEL_LOADED, (_, { details }) => {
      take(details);
      if (placedOnce || utcMs === null) return;
      placedOnce = true;
      const found = positionAt(this.#placed, utcMs);
      if (found && found.skippedMs === 0) {
        this.#playOrPause();
        return;
      }
      const first = this.#placed[0];
      const nextMs = found ? utcMs + found.skippedMs : first && first.utcMs > utcMs ? first.utcMs : null;
      this.#host.onGap(utcMs, nextMs);
    });
    hls.on(HlsClass.Events.LEVEL_UPDATED, (_, { details }) => take(details));
    hls.on(HlsClass.Events.AUDIO_TRACKS_UPDATED, () => this.#tellAudio());
    hls.on(HlsClass.Events.AUDIO_TRACK_SWITCHED, () => this.#tellAudio());
    // hls.js goes over holes only while it plays: a still picture would never appear.
    hls.on(HlsClass.Events.BUFFER_APPENDED, () => {
      clearTimeout(this.#holeTimer);
      this.#holeTimer = setTimeout(() => this.#leaveHole(), STILL_WITHIN_MS);
    });
    hls.on(HlsClass.Events.MANIFEST_PARSED, () => {
      if (utcMs === null) this.#playOrPause();
    });
    hls.on(HlsClass.Events.ERROR, (_, data) => {
      if (!data.fatal) return;
      const at = this.utcMs();
      const { MANIFEST_LOAD_ERROR, LEVEL_LOAD_ERROR, AUDIO_TRACK_LOAD_ERROR } = HlsClass.ErrorDetails;
      const isPlaylist = data.details === MANIFEST_LOAD_ERROR || data.details === LEVEL_LOAD_ERROR || data.details === AUDIO_TRACK_LOAD_ERROR;
      if (data.response?.code === 404 && isPlaylist && !placedOnce && utcMs !== null) {
        this.#host.onGap(utcMs, null);
        return;
      }
      if (data.type === HlsClass.ErrorTypes.MEDIA_ERROR && this.#recovered < 3) {
        this.#recovered += 1;
        hls.recoverMediaError();
        return;
      }
      this.#fail(sentenceOf(data.type, data.details, data.response?.code ?? null));
      if (data.type === HlsClass.ErrorTypes.NETWORK_ERROR) {
        // A server that was away comes back: go on where the picture stood.
        this.#retry = setTimeout(() => {
          this.state.update({ phase: "loading" });
          if (source.kind === "live" || at === null) void this.#load(source, source.kind === "live" ? null : utcMs);
          else void this.#load(sourceFor(at, this.#host.liveEdge(), this.#host.now(), HAS_MSE ? null : this.#host.recordedEnd()), at);
        }, RETRY_MS);
      }
    });
    hls.loadSource(url);
    hls.attachMedia(this.#video);
  }

  #leaveHole(): void {
    const { buffered, currentTime, paused, seeking } = this.#video;
    if (!paused || !seeking) return;
    const ranges = Array.from({ length: buffered.length }, (_, n) => ({ start: buffered.start(n), end: buffered.end(n) }));
    const next = overHole(ranges, currentTime);
    if (next !== null) this.#video.currentTime = next;
  }

  #tellAudio(): void {
    const hls = this.#hls;
    if (!hls) return;
    this.state.update({
      audioTracks: hls.audioTracks.map((track) => ({ id: track.id, label: track.name || track.lang || `Sound ${track.id + 1}` })),
      audioTrack: hls.audioTrack,
    });
  }

  #fail(sentence: string): void {
    this.state.update({ phase: "error", error: sentence, buffering: false });
  }
}
