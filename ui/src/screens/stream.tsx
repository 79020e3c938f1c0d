// One stream: its name, its state, and the tabs DVR, Settings, Info.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Link, StateBadge } from "../components/basics.tsx";
import { go, type Tab } from "../state/route.ts";
import { server } from "../state/server.ts";
import { useStore } from "../state/store.ts";
import { DvrTab } from "./dvr/dvr.tsx";
import { InfoTab } from "./info.tsx";
import { SettingsTab } from "./settings.tsx";

const TABS: [Tab, string][] = [
  ["dvr", "DVR"],
  ["settings", "Settings"],
  ["info", "Info"],
];

export function StreamScreen({ name, tab }: { name: string; tab: Tab }): JSX.Element {
  const stream = useStore(server, (s) => s.streams.get(name));
  const loaded = useStore(server, (s) => s.loaded);
  useEffect(() => {
    document.title = `${name} · Evertape`;
  }, [name]);
  return (
    <main class={`page stream-page tab-${tab}`} id="main">
      <div class="page-head stream-head">
        <div>
          <p class="crumbs">
            Media <span aria-hidden="true">›</span> <Link to={{}}>Streams</Link> <span aria-hidden="true">›</span>
          </p>
          <h1>{name}</h1>
        </div>
        {stream && (
          <div class="head-state">
            <StateBadge stream={stream} />
            {stream.reason && <span class="reason" title={stream.reason}>{stream.reason}</span>}
          </div>
        )}
        <span class="grow" />
        <nav class="tabs" aria-label="Parts of the stream's page">
          {TABS.map(([id, label]) => (
            <Link key={id} to={{ stream: name, tab: id }} current={id === tab} class="tab">
              {label}
            </Link>
          ))}
        </nav>
      </div>
      {!stream ? (
        loaded ? (
          <div class="empty">
            <h2>There is no stream “{name}”</h2>
            <p>It may have been deleted.</p>
            <button type="button" onClick={() => go({})}>
              To the streams
            </button>
          </div>
        ) : (
          <p class="faint">Asking for the stream…</p>
        )
      ) : tab === "dvr" ? (
        <DvrTab key={name} stream={stream} />
      ) : tab === "settings" ? (
        <SettingsTab key={name} stream={stream} />
      ) : (
        <InfoTab stream={stream} />
      )}
    </main>
  );
}
