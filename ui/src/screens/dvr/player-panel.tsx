// The picture, what is said over it, and the buttons below it.

import type { JSX, RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Stream } from "../../api/types.ts";
import {
  BackIcon,
  ForwardIcon,
  FramesBackIcon,
  FramesForwardIcon,
  FullscreenIcon,
  KeyboardIcon,
  NextEdgeIcon,
  PauseIcon,
  PictureIcon,
  PlayIcon,
  PreviousEdgeIcon,
  SilentIcon,
  SoundIcon,
} from "../../components/icons.tsx";
import { RATES } from "../../player/player.ts";
import { preferences } from "../../state/preferences.ts";
import { serverNow } from "../../state/server.ts";
import { useStore } from "../../state/store.ts";
import { formatClock, formatDate, formatDayLong, formatLength, formatMoment, formatTime, zoneName } from "../../time/format.ts";
import type { DvrController } from "./controller.ts";

interface Props {
  controller: DvrController;
  stream: Stream;
  videoRef: RefObject<HTMLVideoElement | null>;
  ready: boolean;
  onHelp: () => void;
}

export function PlayerPanel({ controller, stream, videoRef, ready, onHelp }: Props): JSX.Element {
  const screen = useRef<HTMLDivElement>(null);
  return (
    <section class="player" aria-label="Player">
      <div class="screen" ref={screen}>
        {/* The mouse has the picture itself as a button; the keyboard has space. */}
        <video ref={videoRef} playsInline preload="auto" aria-label={`Picture of ${stream.name}`} onClick={() => ready && controller.player.toggle()} />
        {ready && <Overlay controller={controller} stream={stream} />}
      </div>
      {ready && <Transport controller={controller} videoRef={videoRef} screenRef={screen} onHelp={onHelp} />}
    </section>
  );
}

function Overlay({ controller, stream }: { controller: DvrController; stream: Stream }): JSX.Element | null {
  const { gap, toast, remark } = useStore(controller.state);
  const player = useStore(controller.player.state);
  const { zone } = useStore(preferences);
  const [hiddenRemark, hideRemark] = useState<string | null>(null);
  const at = (ms: number): string => formatMoment(ms, zone);
  let main: JSX.Element | null = null;
  if (gap) {
    main = (
      <div class="over" role="status">
        <h2>Nothing is recorded at {at(gap.atMs)}</h2>
        {gap.asking ? (
          <p>Looking for the nearest recording…</p>
        ) : (
          <>
            {gap.beforeMs !== null && gap.nextMs !== null && <p>The gap is {formatLength(gap.nextMs - gap.beforeMs)} long.</p>}
            <div class="over-actions">
              {gap.beforeMs !== null && (
                <button type="button" onClick={() => controller.seek(gap.beforeMs! - 10_000)}>
                  Play what came before, {formatTime(gap.beforeMs, zone)}
                </button>
              )}
              {gap.nextMs !== null ? (
                <button type="button" class="primary" onClick={() => controller.seek(gap.nextMs!)}>
                  Play the next recorded moment, {at(gap.nextMs)}
                </button>
              ) : controller.isLive ? (
                <button type="button" class="primary" onClick={() => controller.goLive()}>
                  To live
                </button>
              ) : (
                <p>There is no later recording.</p>
              )}
            </div>
          </>
        )}
      </div>
    );
  } else if (player.phase === "error") {
    main = (
      <div class="over" role="alert">
        <h2>{player.error}</h2>
      </div>
    );
  } else if (stream.first_ms === null) {
    main = (
      <div class="over" role="status">
        <h2>Nothing is recorded yet</h2>
        <p>{stream.reason ?? (stream.paused ? "The stream is paused." : stream.state === "recording" ? "The first seconds will be here in a moment." : "As soon as the source answers, recording begins.")}</p>
      </div>
    );
  }
  return (
    <>
      {main}
      {!main && (player.phase === "loading" || player.buffering) && <div class="spinner" role="status" aria-label="Loading" />}
      {player.reverse > 0 && <div class="speed-mark">◀◀ {player.reverse}×</div>}
      {player.reverse === 0 && player.rate !== 1 && player.phase === "playing" && <div class="speed-mark">{player.rate}×</div>}
      {remark && remark !== hiddenRemark && !main && (
        <div class="remark" role="status">
          {remark}
          <button type="button" onClick={() => hideRemark(remark)}>
            OK
          </button>
        </div>
      )}
      <div class="toasts" role="status">
        {toast && <div class="toast">{toast}</div>}
      </div>
    </>
  );
}

function Transport({ controller, videoRef, screenRef, onHelp }: { controller: DvrController; videoRef: RefObject<HTMLVideoElement | null>; screenRef: RefObject<HTMLDivElement | null>; onHelp: () => void }): JSX.Element {
  const { player } = controller;
  const state = useStore(player.state);
  const { muted, volume } = useStore(preferences);
  const playing = player.wantsPlay || state.reverse > 0;
  useEffect(() => {
    if (!videoRef.current) return;
    videoRef.current.muted = muted;
    videoRef.current.volume = volume;
  }, [muted, volume]);
  const fullscreen = (): void => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else screenRef.current?.requestFullscreen?.().catch(() => controller.toast("This browser does not allow full screen here."));
  };
  return (
    <div class="transport" role="group" aria-label="Playing">
      <div class="buttons">
        <Button label="Previous beginning or end of a recording (↑)" onClick={() => void controller.jumpToEdge(-1)}>
          <PreviousEdgeIcon />
        </Button>
        <Button label="Ten seconds back (Ctrl ←)" onClick={() => controller.seekBy(-10_000)}>
          <BackIcon />
        </Button>
        <Button label="One frame back (←)" class="frame" onClick={() => controller.stepBy(-controller.frameMs)}>
          <FramesBackIcon />
        </Button>
        <Button label={playing ? "Pause (space)" : "Play (space)"} class="play" onClick={() => player.toggle()}>
          {playing ? <PauseIcon /> : <PlayIcon />}
        </Button>
        <Button label="One frame forward (→)" class="frame" onClick={() => controller.stepBy(controller.frameMs)}>
          <FramesForwardIcon />
        </Button>
        <Button label="Ten seconds forward (Ctrl →)" onClick={() => controller.seekBy(10_000)}>
          <ForwardIcon />
        </Button>
        <Button label="Next beginning or end of a recording (↓)" onClick={() => void controller.jumpToEdge(1)}>
          <NextEdgeIcon />
        </Button>
      </div>
      <Timecode controller={controller} />
      <LiveButton controller={controller} />
      <div class="buttons more">
        <select aria-label="Speed" value={String(state.rate)} onChange={(e) => player.setRate(Number(e.currentTarget.value))}>
          {RATES.map((rate) => (
            <option key={rate} value={String(rate)}>
              {rate}×
            </option>
          ))}
        </select>
        {state.audioTracks.length > 1 && (
          <select aria-label="Sound track" value={String(state.audioTrack)} onChange={(e) => player.chooseAudio(Number(e.currentTarget.value))}>
            {state.audioTracks.map((track) => (
              <option key={track.id} value={String(track.id)}>
                {track.label}
              </option>
            ))}
          </select>
        )}
        <Button label={muted ? "Sound on (M)" : "Sound off (M)"} data-key="m" onClick={() => preferences.update({ muted: !muted })}>
          {muted || volume === 0 ? <SilentIcon /> : <SoundIcon />}
        </Button>
        <input class="volume" type="range" min="0" max="1" step="0.05" aria-label="Volume" value={String(muted ? 0 : volume)} onInput={(e) => preferences.update({ volume: Number(e.currentTarget.value), muted: false })} />
        <Button label="Save this picture as PNG (S)" data-key="s" onClick={() => controller.savePicture()}>
          <PictureIcon />
        </Button>
        <Button label="Full screen (F)" data-key="f" onClick={fullscreen}>
          <FullscreenIcon />
        </Button>
        <Button label="Keyboard (?)" class="keys" onClick={onHelp}>
          <KeyboardIcon />
        </Button>
      </div>
    </div>
  );
}

type ButtonProps = { label: string; class?: string; "data-key"?: string; onClick: () => void; children: JSX.Element };

function Button({ label, class: name = "", children, ...rest }: ButtonProps): JSX.Element {
  return (
    <button type="button" class={`icon-button ${name}`} aria-label={label.replace(/ \([^)]*\)$/, "")} title={label} {...rest}>
      {children}
    </button>
  );
}

/** The current time, in the zone of the page and in UTC, ten times a second. */
function Timecode({ controller }: { controller: DvrController }): JSX.Element {
  const { zone } = useStore(preferences);
  const time = useRef<HTMLSpanElement>(null);
  const day = useRef<HTMLSpanElement>(null);
  const utc = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const put = (ref: RefObject<HTMLSpanElement | null>, text: string): void => {
      if (ref.current && ref.current.textContent !== text) ref.current.textContent = text;
    };
    const tell = (): void => {
      const at = controller.playheadMs();
      put(time, at === null ? "--:--:--" : formatTime(at, zone));
      put(day, at === null ? "" : `${formatDayLong(at, zone)} ${zoneName(at, zone)}`);
      // The date again only where it is another one in UTC.
      const sameDay = at !== null && formatDate(at, zone) === formatDate(at, "UTC");
      put(utc, at === null || zone === "UTC" ? "" : `${sameDay ? formatTime(at, "UTC") : formatMoment(at, "UTC")} UTC`);
    };
    tell();
    const timer = setInterval(tell, 100);
    return () => clearInterval(timer);
  }, [zone, controller]);
  return (
    <div class="timecode" role="timer" aria-label="Current time">
      <span class="clock" ref={time} />
      <span class="timecode-lines">
        <span ref={day} />
        <span class="faint" ref={utc} />
      </span>
    </div>
  );
}

function LiveButton({ controller }: { controller: DvrController }): JSX.Element | null {
  const live = useStore(controller.player.state, (s) => s.live && s.phase !== "paused");
  const playheadMs = useStore(controller.state, (s) => s.playheadMs);
  if (!controller.isLive) return null;
  if (live)
    return (
      <span class="live on">
        <span class="dot" aria-hidden="true" /> Live
      </span>
    );
  const behind = playheadMs === null ? null : serverNow() - playheadMs;
  return (
    <button type="button" class="live" onClick={() => controller.goLive()}>
      <span class="dot" aria-hidden="true" /> Back to live{behind !== null && <span class="behind"> −{behind < 86_400_000 ? formatClock(behind) : formatLength(behind)}</span>}
    </button>
  );
}
