// Media › Streams: every stream with its state and what is kept of it.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { playbackPath } from "../api/client.ts";
import type { Stream } from "../api/types.ts";
import { Link, Notice, StateBadge } from "../components/basics.tsx";
import { DeleteIcon, EditIcon, PauseIcon, PlayIcon, PlusIcon } from "../components/icons.tsx";
import { AddStreamDialog, DeleteStreamDialog, sentence, setPaused } from "../components/stream-dialogs.tsx";
import { preferences } from "../state/preferences.ts";
import { go } from "../state/route.ts";
import { reload, server, serverNow } from "../state/server.ts";
import { useStore } from "../state/store.ts";
import { formatBitrate, formatBytes, formatLength, formatMoment } from "../time/format.ts";
import { inTurn, pictureOf } from "../timeline-view/pictures.ts";

export function StreamsScreen(): JSX.Element {
  const { streams, loaded, error } = useStore(server);
  const [adding, setAdding] = useState(false);
  const [deleting, setDeleting] = useState<Stream | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [filter, setFilter] = useState("");
  const all = [...streams.values()].sort((a, b) => a.name.localeCompare(b.name));
  const shown = all.filter((s) => s.name.toLowerCase().includes(filter.trim().toLowerCase()));
  const recording = all.filter((s) => s.state === "recording").length;
  const bytes = all.reduce((sum, s) => sum + s.stored_bytes, 0);
  const pause = (stream: Stream): void => {
    setProblem(null);
    setPaused(stream.name, !stream.paused).catch((caught: unknown) => setProblem(`${stream.name}: ${sentence(caught)}`));
  };
  return (
    <main class="page" id="main">
      <div class="page-head">
        <div>
          <p class="crumbs">Media</p>
          <h1>Streams</h1>
        </div>
        {loaded && all.length > 0 && (
          <p class="totals">
            <b>{all.length}</b> streams, <b>{recording}</b> recording, <b>{formatBytes(bytes)}</b> stored
          </p>
        )}
        <span class="grow" />
        {all.length > 8 && <input type="search" class="filter" placeholder="Filter by name" aria-label="Filter by name" value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />}
        <button type="button" class="primary" onClick={() => setAdding(true)}>
          <PlusIcon /> Add a stream
        </button>
      </div>
      {error && (
        <Notice kind="error">
          {error}{" "}
          <button type="button" onClick={() => void reload()}>
            Try again
          </button>
        </Notice>
      )}
      {problem && <Notice kind="error">{problem}</Notice>}
      {!loaded && <p class="faint">Asking for the streams…</p>}
      {loaded && !error && all.length === 0 && (
        <div class="empty">
          <h2>Nothing is recorded here yet</h2>
          <p>Add a stream, and its archive begins a few seconds later. “demo:” is a source that is always there.</p>
        </div>
      )}
      {shown.length > 0 && (
        <table class="streams">
          <thead>
            <tr>
              <th scope="col" class="col-picture">
                <span class="visually-hidden">Last picture</span>
              </th>
              <th scope="col">Stream</th>
              <th scope="col">State</th>
              <th scope="col">Source and codecs</th>
              <th scope="col" class="number">
                Bitrate
              </th>
              <th scope="col" class="number">
                Archive
              </th>
              <th scope="col" class="number">
                Stored
              </th>
              <th scope="col">
                <span class="visually-hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.map((stream) => (
              <Row key={stream.name} stream={stream} onPause={() => pause(stream)} onDelete={() => setDeleting(stream)} />
            ))}
          </tbody>
        </table>
      )}
      {adding && <AddStreamDialog onClose={() => setAdding(false)} onAdded={(stream) => go({ stream: stream.name })} />}
      {deleting && <DeleteStreamDialog stream={deleting} onClose={() => setDeleting(null)} onDeleted={() => setDeleting(null)} />}
    </main>
  );
}

function Row({ stream, onPause, onDelete }: { stream: Stream; onPause: () => void; onDelete: () => void }): JSX.Element {
  const { zone } = useStore(preferences);
  const depth = stream.first_ms !== null && stream.live_edge_ms !== null ? stream.live_edge_ms - stream.first_ms : null;
  const isSet = stream.origin === "api";
  const codecs = [...new Set(stream.tracks.map((t) => t.codec_name))].join(", ");
  const video = stream.tracks.find((t) => t.kind === "video");
  return (
    <tr>
      <td class="col-picture">
        <Link to={{ stream: stream.name }} class="picture-link">
          <LastPicture stream={stream} />
          <span class="visually-hidden">Open {stream.name}</span>
        </Link>
      </td>
      <th scope="row" class="col-name">
        <Link to={{ stream: stream.name }}>{stream.name}</Link>
        {stream.origin === "file" && (
          <span class="tag" title="Set in the configuration file; it can be changed only there.">
            configuration file
          </span>
        )}
        {stream.origin === "archive" && (
          <span class="tag" title="It is set nowhere any more: nothing is recorded, and what was recorded is kept.">
            archive only
          </span>
        )}
      </th>
      <td class="col-state" data-label="State">
        <StateBadge stream={stream} />
        {stream.since_ms !== null && <span class="faint since"> for {formatLength(Math.max(0, serverNow() - stream.since_ms))}</span>}
        {stream.reason && (
          <div class="reason" title={stream.reason}>
            {stream.reason}
          </div>
        )}
      </td>
      <td class="col-source" data-label="Source">
        <div class="source" title={stream.source}>
          {stream.source}
        </div>
        <div class="faint">
          {codecs || "no tracks yet"}
          {video?.width ? ` · ${video.width}×${video.height}` : ""}
        </div>
      </td>
      <td class="number" data-label="Bitrate">
        {stream.bitrate_bps === null ? "–" : formatBitrate(stream.bitrate_bps)}
      </td>
      <td class="number" data-label="Archive">
        {depth === null || stream.first_ms === null ? (
          "empty"
        ) : (
          <>
            {formatLength(depth)}
            <div class="faint">since {formatMoment(stream.first_ms, zone, "minutes")}</div>
          </>
        )}
      </td>
      <td class="number" data-label="Stored">
        {formatBytes(stream.stored_bytes)}
        <div class="faint">{stream.retention_seconds === null ? "kept for ever" : `kept for ${formatLength(stream.retention_seconds * 1000)}`}</div>
      </td>
      <td class="col-actions">
        {stream.origin !== "file" && (
          <div class="actions">
            {isSet && <><button type="button" class="icon-button" title={stream.paused ? "Resume" : "Pause"} aria-label={`${stream.paused ? "Resume" : "Pause"} ${stream.name}`} onClick={onPause}>
              {stream.paused ? <PlayIcon /> : <PauseIcon />}
            </button>
            <Link to={{ stream: stream.name, tab: "settings" }} class="icon-button">
              <EditIcon />
              <span class="visually-hidden">Change {stream.name}</span>
            </Link></>}
            <button type="button" class="icon-button" title="Delete" aria-label={`Delete ${stream.name}`} onClick={onDelete}>
              <DeleteIcon />
            </button>
          </div>
        )}
      </td>
    </tr>
  );
}

let decoder: HTMLVideoElement | null = null;

/** One element decodes the pictures of the whole list. */
function listDecoder(): HTMLVideoElement {
  if (!decoder) {
    decoder = document.createElement("video");
    decoder.muted = true;
    decoder.preload = "auto";
    decoder.playsInline = true;
  }
  return decoder;
}

const PICTURE_EVERY_MS = 30_000;

/** The newest picture of a stream, asked for once it is on the screen and then each half minute. */
function LastPicture({ stream }: { stream: Stream }): JSX.Element {
  const ref = useRef<HTMLCanvasElement>(null);
  const [there, setThere] = useState(false);
  const has = stream.live_edge_ms !== null;
  const codec = stream.tracks.find((t) => t.kind === "video")?.codec;
  useEffect(() => {
    const canvas = ref.current;
    if (!canvas || !has) return undefined;
    const plays = !codec || typeof MediaSource === "undefined" || MediaSource.isTypeSupported(`video/mp4; codecs="${codec}"`);
    let gone = false;
    let visible = false;
    let last = -Infinity;
    const load = async (): Promise<void> => {
      if (gone || !visible || document.hidden || performance.now() - last < PICTURE_EVERY_MS - 1000) return;
      last = performance.now();
      try {
        const response = await fetch(`${playbackPath(stream.name)}/preview.${plays ? "mp4" : "jpg"}`, { signal: AbortSignal.timeout(8000) });
        if (!response.ok) return;
        const blob = await response.blob();
        const picture = plays ? await inTurn(() => pictureOf(listDecoder(), blob, 224)) : await createImageBitmap(blob);
        if (gone) return;
        canvas.width = picture.width;
        canvas.height = picture.height;
        canvas.getContext("2d")?.drawImage(picture, 0, 0);
        picture.close();
        setThere(true);
      } catch {
        // No picture: the row says everything else.
      }
    };
    const observer = new IntersectionObserver(([entry]) => {
      visible = entry?.isIntersecting ?? false;
      void load();
    });
    observer.observe(canvas);
    const timer = setInterval(() => void load(), PICTURE_EVERY_MS);
    return () => {
      gone = true;
      observer.disconnect();
      clearInterval(timer);
    };
  }, [stream.name, has, codec]);
  return (
    <span class={`last-picture ${there ? "there" : ""}`}>
      <canvas ref={ref} width="16" height="9" aria-hidden="true" />
    </span>
  );
}
