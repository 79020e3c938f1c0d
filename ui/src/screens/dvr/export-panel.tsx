// Export: what the limiters enclose, as a file. Size, length and gaps are told before; the browser downloads by itself.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { getExport, playbackPath } from "../../api/client.ts";
import type { ExportInfo, Stream } from "../../api/types.ts";
import { CopyField, Notice } from "../../components/basics.tsx";
import { DownloadIcon } from "../../components/icons.tsx";
import { sentence } from "../../components/stream-dialogs.tsx";
import { trackLabel } from "../../player/codecs.ts";
import { preferences } from "../../state/preferences.ts";
import { useStore } from "../../state/store.ts";
import { formatBytes, formatClock, formatLength, formatMoment } from "../../time/format.ts";
import { lengthMs, type Selection } from "../../timeline/limiters.ts";
import type { DvrController } from "./controller.ts";

type Info = { state: "asking" } | { state: "there"; info: ExportInfo; key: string } | { state: "none"; message: string };

const GAPS_LISTED = 5;

export function ExportPanel({ controller, stream }: { controller: DvrController; stream: Stream }): JSX.Element {
  const { selection, shown } = useStore(controller.state);
  return (
    <section class="card export" aria-label="Export">
      <h2>Export</h2>
      {selection ? (
        <ExportForm stream={stream} selection={selection} />
      ) : (
        <>
          <p class="faint">Drag the grey limiters beside the bar, press I and O while playing, or drag over the bar with Shift held down.</p>
          <button type="button" onClick={() => controller.select({ fromMs: Math.max(shown.fromMs, Math.ceil((stream.first_ms ?? 0) / 1000) * 1000), toMs: Math.max(shown.fromMs + 1000, Math.min(shown.toMs, Math.floor(controller.knownEnd() / 1000) * 1000)) })} disabled={stream.first_ms === null}>
            Select what is shown
          </button>
        </>
      )}
    </section>
  );
}

/** Letters that every file system takes. */
const safe = (name: string): string => name.replace(/[\u0000-\u001f<>:"/\\|?*]+/g, "-").replace(/^\.+/, "").trim();

function ExportForm({ stream, selection }: { stream: Stream; selection: Selection }): JSX.Element {
  const { zone } = useStore(preferences);
  const [format, setFormat] = useState<"mp4" | "ts">("mp4");
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const [name, setName] = useState<string | null>(null);
  const [info, setInfo] = useState<Info>({ state: "asking" });
  const ids = stream.tracks.map((t) => t.id);
  const chosen = ids.filter((id) => !left.has(id));
  const tracks = chosen.length === ids.length ? null : chosen;
  const key = `${selection.fromMs}/${selection.toMs}/${format}/${tracks?.join(",") ?? ""}`;
  useEffect(() => {
    if (chosen.length === 0 && ids.length > 0) {
      setInfo({ state: "none", message: "Choose at least one track." });
      return undefined;
    }
    const abort = new AbortController();
    setInfo({ state: "asking" });
    // A limiter that is being dragged asks for nothing until it rests.
    const timer = setTimeout(() => {
      getExport(stream.name, { fromMs: selection.fromMs, durationMs: lengthMs(selection), tracks, format }, abort.signal).then(
        (found) => setInfo({ state: "there", info: found, key }),
        (error: unknown) => {
          if (!abort.signal.aborted) setInfo({ state: "none", message: sentence(error) });
        },
      );
    }, 300);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [key, stream.name]);
  const there = info.state === "there" && info.key === key ? info.info : null;
  const extension = `.${format}`;
  const label = format === "mp4" ? "MP4" : "MPEG-TS";
  const suggested = there?.file_name.replace(/\.(mp4|ts)$/, "") ?? "";
  const fileName = `${safe(name ?? suggested) || "export"}${extension}`;
  const base = location.origin + playbackPath(stream.name);
  const seconds = lengthMs(selection) / 1000;
  const from = selection.fromMs / 1000;
  const share = there ? new URL(there.url, location.origin).href : "";
  const suffix = tracks ? `?tracks=${tracks.join(",")}` : "";
  return (
    <div class="export-form">
      <dl class="export-range">
        <dt>From</dt>
        <dd>{formatMoment(selection.fromMs, zone)}</dd>
        <dt>To</dt>
        <dd>{formatMoment(selection.toMs, zone)}</dd>
        <dt>Length</dt>
        <dd>{there ? formatClock(there.duration_ms) : formatClock(lengthMs(selection))}</dd>
        <dt>Size</dt>
        <dd>{there ? `about ${formatBytes(there.bytes)}` : info.state === "asking" ? "…" : "–"}</dd>
      </dl>
      <div class="export-choices">
        <fieldset class="segmented">
          <legend>Format</legend>
          {(["mp4", "ts"] as const).map((f) => (
            <label key={f}>
              <input type="radio" name="format" checked={format === f} onChange={() => setFormat(f)} />
              <span>{f === "mp4" ? "MP4" : "MPEG-TS"}</span>
            </label>
          ))}
        </fieldset>
        {stream.tracks.length > 1 && (
          <details class="tracks">
            <summary>
              <b>Tracks</b> {tracks === null ? `all ${ids.length}` : chosen.join(", ") || "none"}
            </summary>
            {stream.tracks.map((track) => (
              <label key={track.id} class="check">
                <input
                  type="checkbox"
                  checked={!left.has(track.id)}
                  onChange={(e) => {
                    const next = new Set(left);
                    if (e.currentTarget.checked) next.delete(track.id);
                    else next.add(track.id);
                    setLeft(next);
                  }}
                />
                <span>
                  <b>{track.id}</b> {trackLabel(track)}
                </span>
              </label>
            ))}
          </details>
        )}
      </div>
      <label class="file-name">
        <span>File name</span>
        <span class="file-row">
          <input value={name ?? suggested} onInput={(e) => setName(e.currentTarget.value)} spellcheck={false} autocomplete="off" />
          <span class="faint">{extension}</span>
        </span>
      </label>
      {info.state === "none" && <Notice kind="error">{info.message}</Notice>}
      {there ? (
        <a class="button primary download" href={there.url} download={fileName}>
          <DownloadIcon /> Export {label}
        </a>
      ) : (
        <button type="button" class="primary download" disabled>
          <DownloadIcon /> Export {label}
        </button>
      )}
      {there && there.gaps.length > 0 && (
        <Notice kind="warning">
          <strong>
            {there.gaps.length === 1 ? "There is a gap" : `There are ${there.gaps.length} gaps`} of {formatLength(there.gaps.reduce((sum, g) => sum + g.to_ms - g.from_ms, 0))} in this part.
          </strong>{" "}
          The file goes on without a pause there.
          <ul>
            {there.gaps.slice(0, GAPS_LISTED).map((gap) => (
              <li key={gap.from_ms}>
                {formatMoment(gap.from_ms, zone)}, {formatLength(gap.to_ms - gap.from_ms)}
              </li>
            ))}
            {there.gaps.length > GAPS_LISTED && <li>and {there.gaps.length - GAPS_LISTED} more</li>}
          </ul>
        </Notice>
      )}
      <details class="links">
        <summary>Links to share and for players</summary>
        {there && <CopyField label={format === "mp4" ? "The file, MP4" : "The file, MPEG-TS"} value={share} hint="Can be resumed and read from any position." />}
        <CopyField label="This part, HLS" value={`${base}/archive-${from}-${seconds}.m3u8${suffix}`} />
        <CopyField label="From its beginning on to live, HLS" value={`${base}/index-${from}-now.m3u8${suffix}`} />
        <CopyField label="As if tuned in at its beginning, HLS timeshift" value={`${base}/timeshift_abs-${from}.m3u8${suffix}`} />
        <CopyField label="This page" value={location.href} />
      </details>
    </div>
  );
}
