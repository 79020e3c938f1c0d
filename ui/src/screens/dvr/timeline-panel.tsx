// The bar with its buttons, limiters and dates, the strip of the whole archive, and the date field.

import type { JSX, RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { EarlierIcon, LaterIcon, MinusIcon, PlusIcon } from "../../components/icons.tsx";
import { preferences } from "../../state/preferences.ts";
import { serverNow } from "../../state/server.ts";
import { useStore } from "../../state/store.ts";
import { formatLength, formatMoment, zoneName } from "../../time/format.ts";
import { DATE_EXAMPLES, parseMoment } from "../../time/parse.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../time/zone.ts";
import { spanMs } from "../../timeline/scale.ts";
import type { TimelineParts } from "../../timeline-view/timeline-view.ts";
import type { DvrController } from "./controller.ts";

const PERIODS: [string, number][] = [
  ["10 min", 10 * MINUTE_MS],
  ["1 h", HOUR_MS],
  ["6 h", 6 * HOUR_MS],
  ["1 day", DAY_MS],
  ["7 days", 7 * DAY_MS],
  ["30 days", 30 * DAY_MS],
];

export function TimelinePanel({ controller, partsRef, ready }: { controller: DvrController; partsRef: RefObject<TimelineParts | null>; ready: boolean }): JSX.Element {
  const root = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const overview = useRef<HTMLCanvasElement>(null);
  const from = useRef<HTMLDivElement>(null);
  const to = useRef<HTMLDivElement>(null);
  const hover = useRef<HTMLDivElement>(null);
  const hoverCanvas = useRef<HTMLCanvasElement>(null);
  const hoverTime = useRef<HTMLSpanElement>(null);
  // With the drawing itself, not after it: the effect of the parent, which starts the controller with these, may come first.
  useLayoutEffect(() => {
    partsRef.current = {
      root: root.current!,
      canvas: canvas.current!,
      overview: overview.current!,
      from: from.current!,
      to: to.current!,
      hover: hover.current!,
      hoverCanvas: hoverCanvas.current!,
      hoverTime: hoverTime.current!,
    };
  }, []);
  const timeline = (): DvrController["timeline"] => controller.timeline;
  return (
    <section class="timeline" aria-label="Timeline">
      <div class="timeline-row">
        <div class="side-buttons">
          <button type="button" class="icon-button" aria-label="Zoom out" title="Zoom out (−)" onClick={() => timeline()?.zoomBy(0.5)}>
            <MinusIcon />
          </button>
          <button type="button" class="icon-button" aria-label="Earlier" title="Earlier (<)" onClick={() => timeline()?.moveBy(-0.5)}>
            <EarlierIcon />
          </button>
        </div>
        <div class="bar" ref={root}>
          <canvas ref={canvas} class="bar-canvas" tabIndex={0} role="slider" aria-label="Timeline" aria-valuenow={0} aria-valuemin={0} aria-valuemax={0} aria-describedby="bar-help" />
          <span id="bar-help" class="visually-hidden">
            Arrow keys step, plus and minus zoom, I and O set the limiters, question mark lists all keys.
          </span>
          <div ref={from} class="limiter limiter-from" tabIndex={0} role="slider" aria-label="Left limiter" aria-valuenow={0} aria-valuemin={0} aria-valuemax={0}>
            <span class="grip" />
          </div>
          <div ref={to} class="limiter limiter-to" tabIndex={0} role="slider" aria-label="Right limiter" aria-valuenow={0} aria-valuemin={0} aria-valuemax={0}>
            <span class="grip" />
          </div>
          <div ref={hover} class="hover" aria-hidden="true">
            <canvas ref={hoverCanvas} width="160" height="90" />
            <span ref={hoverTime} />
          </div>
        </div>
        <div class="side-buttons">
          <button type="button" class="icon-button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => timeline()?.zoomBy(2)}>
            <PlusIcon />
          </button>
          <button type="button" class="icon-button" aria-label="Later" title="Later (>)" onClick={() => timeline()?.moveBy(0.5)}>
            <LaterIcon />
          </button>
        </div>
      </div>
      <Dates controller={controller} />
      <div class="overview-row">
        <canvas ref={overview} class="overview" aria-hidden="true" />
      </div>
      {ready && <DateRow controller={controller} />}
    </section>
  );
}

/** The dates of the limiters: where none was moved, those of the ends of the bar. */
function Dates({ controller }: { controller: DvrController }): JSX.Element {
  const { selection, shown } = useStore(controller.state);
  const { zone } = useStore(preferences);
  const { fromMs, toMs } = selection ?? shown;
  const date = (ms: number, side: string): JSX.Element => (
    <div class={`date ${side}`}>
      <span data-testid={`date-${side}`}>{formatMoment(ms, zone)}</span>
      {zone !== "UTC" && <span class="faint">{formatMoment(ms, "UTC")} UTC</span>}
    </div>
  );
  return (
    <div class="dates">
      {date(fromMs, "from")}
      <div class="date-length">
        {selection ? (
          <>
            <span>
              Selected: <b>{formatLength(toMs - fromMs)}</b>
            </span>
            <span class="date-actions">
              <button type="button" class="link" onClick={() => controller.showSelection(selection)}>
                Show
              </button>
              <button type="button" class="link" onClick={() => controller.seek(selection.fromMs)}>
                Play
              </button>
              <button type="button" class="link" onClick={() => controller.select(null)}>
                Clear
              </button>
            </span>
          </>
        ) : (
          <span class="faint">{formatLength(toMs - fromMs)} shown. Drag the grey limiters to select a part.</span>
        )}
      </div>
      {date(toMs, "to")}
    </div>
  );
}

function DateRow({ controller }: { controller: DvrController }): JSX.Element {
  const { zone } = useStore(preferences);
  const [text, setText] = useState("");
  const [answer, setAnswer] = useState<{ kind: "error" | "remark"; text: string } | null>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    const parsed = parseMoment(text, { nowMs: serverNow(), zone });
    if (!parsed.ok) {
      setAnswer({ kind: "error", text: parsed.message });
      return;
    }
    const now = serverNow();
    if (parsed.ms > now + 1000) {
      setAnswer({ kind: "error", text: `${formatMoment(parsed.ms, zone)} lies in the future.` });
      return;
    }
    setAnswer({ kind: "remark", text: `${formatMoment(parsed.ms, zone)} ${zoneName(parsed.ms, zone)}${zone === "UTC" ? "" : ` · ${formatMoment(parsed.ms, "UTC")} UTC`}${parsed.remark ? `. ${parsed.remark}` : ""}` });
    const timeline = controller.timeline;
    if (timeline) {
      const span = spanMs(timeline.view);
      timeline.show(parsed.ms - span / 2, parsed.ms + span / 2);
    }
    if (parsed.ms >= now - 1000 && controller.isLive) controller.goLive();
    else controller.seek(parsed.ms);
  };
  const period = (length: number): void => {
    const timeline = controller.timeline;
    if (!timeline) return;
    const playhead = controller.playheadMs();
    const now = serverNow();
    const { view } = timeline;
    const visible = playhead !== null && playhead >= view.startMs && playhead <= view.startMs + spanMs(view);
    const centre = visible ? playhead : view.startMs + spanMs(view) / 2;
    const end = Math.min(centre + length / 2, now + length * 0.05);
    timeline.show(end - length, end);
  };
  const all = (): void => {
    const first = controller.stream?.first_ms ?? serverNow() - HOUR_MS;
    const now = serverNow();
    controller.timeline?.show(first - (now - first) * 0.02, now + (now - first) * 0.02);
  };
  return (
    <div class="date-row">
      <form class="date-form" onSubmit={submit}>
        <label for="date-field" class="visually-hidden">
          Date and time
        </label>
        <input
          id="date-field"
          data-key="g"
          class={answer?.kind === "error" ? "wrong" : ""}
          value={text}
          placeholder="2014-08-27 18:15, -2h, yesterday 20:00 …"
          title={DATE_EXAMPLES}
          autocomplete="off"
          spellcheck={false}
          aria-describedby="date-answer"
          aria-invalid={answer?.kind === "error"}
          onInput={(e) => {
            setText(e.currentTarget.value);
            setAnswer(null);
          }}
          onKeyDown={(e) => {
            if (e.key === "Escape") e.currentTarget.blur();
          }}
        />
        <button type="submit">Go to</button>
      </form>
      <p id="date-answer" class={`date-answer ${answer?.kind === "error" ? "field-error" : "faint"}`} role="status">
        {answer?.text ?? `Times are ${zone === "UTC" ? "UTC" : `${zone.replaceAll("_", " ")}, ${zoneName(serverNow(), zone)}`}`}
      </p>
      <div class="periods" role="group" aria-label="Period shown">
        {PERIODS.map(([label, length]) => (
          <button key={label} type="button" onClick={() => period(length)}>
            {label}
          </button>
        ))}
        <button type="button" onClick={all}>
          All
        </button>
      </div>
    </div>
  );
}
