// A stream's Info tab: what it is made of, where it is recorded, addresses for players.

import type { JSX } from "preact";
import { playbackPath } from "../api/client.ts";
import type { Stream } from "../api/types.ts";
import { CopyField, StateBadge } from "../components/basics.tsx";
import { trackLabel } from "../player/codecs.ts";
import { preferences } from "../state/preferences.ts";
import { serverNow } from "../state/server.ts";
import { useStore } from "../state/store.ts";
import { formatBitrate, formatBytes, formatLength, formatMoment } from "../time/format.ts";

export function InfoTab({ stream }: { stream: Stream }): JSX.Element {
  const { zone } = useStore(preferences);
  const base = location.origin + playbackPath(stream.name);
  const moment = (ms: number | null): string => (ms === null ? "–" : `${formatMoment(ms, zone)} (${formatMoment(ms, "UTC")} UTC)`);
  return (
    <div class="tab-body info-grid">
      <section class="card">
        <h2>State</h2>
        <dl>
          <dt>Now</dt>
          <dd>
            <StateBadge stream={stream} />
            {stream.since_ms !== null && ` for ${formatLength(Math.max(0, serverNow() - stream.since_ms))}`}
            {stream.reason && <div class="reason">{stream.reason}</div>}
          </dd>
          <dt>Source</dt>
          <dd class="break">{stream.source || "–"}</dd>
          <dt>Set in</dt>
          <dd>{{ file: "the configuration file", api: "this interface", archive: "nowhere any more" }[stream.origin]}</dd>
          <dt>Recorder</dt>
          <dd>{stream.node ?? "none"}</dd>
          <dt>Bitrate</dt>
          <dd>{stream.bitrate_bps === null ? "–" : formatBitrate(stream.bitrate_bps)}</dd>
        </dl>
      </section>
      <section class="card">
        <h2>Archive</h2>
        <dl>
          <dt>From</dt>
          <dd>{moment(stream.first_ms)}</dd>
          <dt>To</dt>
          <dd>{moment(stream.live_edge_ms)}</dd>
          <dt>Depth</dt>
          <dd>{stream.first_ms !== null && stream.live_edge_ms !== null ? formatLength(stream.live_edge_ms - stream.first_ms) : "empty"}</dd>
          <dt>Stored</dt>
          <dd>{formatBytes(stream.stored_bytes)}</dd>
          <dt>Kept for</dt>
          <dd>{stream.retention_seconds === null ? "ever" : formatLength(stream.retention_seconds * 1000)}</dd>
        </dl>
      </section>
      <section class="card span">
        <h2>Tracks</h2>
        {stream.tracks.length === 0 ? (
          <p class="faint">None yet: nothing has been recorded.</p>
        ) : (
          <div class="scroll" tabIndex={0} role="region" aria-label="Tracks">
            <table class="plain">
              <thead>
                <tr>
                  <th scope="col">Track</th>
                  <th scope="col">Kind</th>
                  <th scope="col">What</th>
                  <th scope="col">Codec string</th>
                  <th scope="col" class="number">
                    Bitrate
                  </th>
                </tr>
              </thead>
              <tbody>
                {stream.tracks.map((track) => (
                  <tr key={track.id}>
                    <th scope="row">{track.id}</th>
                    <td>{track.kind === "video" ? "picture" : "sound"}</td>
                    <td>{trackLabel(track)}</td>
                    <td>
                      <code>{track.codec}</code>
                    </td>
                    <td class="number">{track.bitrate_bps ? formatBitrate(track.bitrate_bps) : "–"}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        {stream.uncarried.length > 0 && (
          <>
            <h3>In the source, but not recorded</h3>
            <ul>
              {stream.uncarried.map((u) => (
                <li key={u.place + u.what}>
                  {u.what}
                  {u.language ? ` (${u.language})` : ""}, <span class="faint">{u.place}</span>
                </li>
              ))}
            </ul>
          </>
        )}
      </section>
      <section class="card span">
        <h2>Addresses for players</h2>
        <CopyField label="Live, HLS" value={`${base}/index.m3u8`} />
        <CopyField label="Live with an hour to rewind, HLS" value={`${base}/rewind-3600.m3u8`} />
        <CopyField label="An hour behind live, HLS" value={`${base}/timeshift_rel-3600.m3u8`} />
        <CopyField label="What is recorded, JSON" value={`${base}/recording_status.json`} />
      </section>
    </div>
  );
}
