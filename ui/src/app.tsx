// The frame of every screen: head, banners, zone and colours.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Link } from "./components/basics.tsx";
import { AutoIcon, DarkIcon, LightIcon } from "./components/icons.tsx";
import { ApiScreen } from "./screens/api.tsx";
import { StreamScreen } from "./screens/stream.tsx";
import { StreamsScreen } from "./screens/streams.tsx";
import { localZone, preferences } from "./state/preferences.ts";
import { route } from "./state/route.ts";
import { CLOCK_REMARK_MS, server } from "./state/server.ts";
import { useStore } from "./state/store.ts";
import { formatClock, formatLength } from "./time/format.ts";
import { isZone } from "./time/zone.ts";

export function App(): JSX.Element {
  const stream = useStore(route, (r) => r.route.stream);
  const tab = useStore(route, (r) => r.route.tab);
  const page = useStore(route, (r) => r.route.page);
  useEffect(() => {
    if (!stream) document.title = page === "api" ? "API · Evertape" : "Streams · Evertape";
  }, [stream, page]);
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <Head />
      <Banners />
      {stream ? <StreamScreen key={stream} name={stream} tab={tab} /> : page === "api" ? <ApiScreen /> : <StreamsScreen />}
    </>
  );
}

function Head(): JSX.Element {
  const { theme } = useStore(preferences);
  const onApi = useStore(route, (r) => r.route.page === "api");
  const onStreams = useStore(route, (r) => r.route.stream === null && r.route.page === null);
  const next = { auto: "light", light: "dark", dark: "auto" } as const;
  const label = { auto: "Colours as the system has them", light: "Light colours", dark: "Dark colours" }[theme];
  return (
    <header class="head">
      <Link to={{}} class="brand">
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
          <rect x="1" y="6" width="30" height="20" rx="4" class="logo-tape" />
          <circle cx="10" cy="16" r="4.5" class="logo-reel" />
          <circle cx="22" cy="16" r="4.5" class="logo-reel" />
          <path d="M10 20.500h12" class="logo-line" />
        </svg>
        Evertape
      </Link>
      <nav aria-label="Main">
        <span class="nav-group">Media</span>
        <Link to={{}} class="nav-link" current={onStreams}>
          Streams
        </Link>
        <Link to={{ page: "api" }} class="nav-link nav-api" current={onApi}>
          API
        </Link>
      </nav>
      <span class="grow" />
      <Health />
      <ZoneChoice />
      <button type="button" class="icon-button" aria-label={`${label}. Change`} title={label} onClick={() => preferences.update({ theme: next[theme] })}>
        {theme === "auto" ? <AutoIcon /> : theme === "light" ? <LightIcon /> : <DarkIcon />}
      </button>
    </header>
  );
}

function Health(): JSX.Element | null {
  const status = useStore(server, (s) => s.status);
  const away = useStore(server, (s) => s.awaySince !== null);
  if (!status || away) return null;
  const sick = [!status.index.ok && `The index: ${status.index.message}`, !status.store.ok && `The store: ${status.store.message}`].filter(Boolean).join(" ");
  return (
    <span class={`health ${sick ? "sick" : ""}`} title={sick || `Version ${status.version}. Index: ${status.index.message}. Store: ${status.store.message}. Roles: ${status.roles.join(", ")}.`}>
      <span class="dot" aria-hidden="true" />
      {sick ? "Trouble" : "Healthy"}
    </span>
  );
}

function ZoneChoice(): JSX.Element {
  const { zone } = useStore(preferences);
  const local = localZone();
  const [all] = useState(() => {
    const supported = typeof Intl.supportedValuesOf === "function" ? Intl.supportedValuesOf("timeZone") : [];
    return supported.filter((z) => z !== local && z !== "UTC");
  });
  return (
    <select
      class="zone"
      aria-label="Time zone"
      value={zone}
      onChange={(e) => {
        if (isZone(e.currentTarget.value)) preferences.update({ zone: e.currentTarget.value });
      }}
    >
      {local !== "UTC" && <option value={local}>Local: {local.replaceAll("_", " ")}</option>}
      <option value="UTC">UTC</option>
      <optgroup label="Other zones">
        {!all.includes(zone) && zone !== local && zone !== "UTC" && <option value={zone}>{zone}</option>}
        {all.map((z) => (
          <option key={z} value={z}>
            {z.replaceAll("_", " ")}
          </option>
        ))}
      </optgroup>
    </select>
  );
}

function Banners(): JSX.Element {
  const { awaySince, clockOffsetMs, status } = useStore(server);
  const [, redraw] = useState(0);
  const [clockSeen, setClockSeen] = useState(false);
  useEffect(() => {
    if (awaySince === null) return undefined;
    const timer = setInterval(() => redraw((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [awaySince]);
  const sick = status && awaySince === null ? [!status.index.ok && `The time index does not work: ${status.index.message}.`, !status.store.ok && `The object store does not work: ${status.store.message}.`].filter(Boolean) : [];
  return (
    <div class="banners" role="status">
      {awaySince !== null && (
        <div class="banner banner-error">
          <strong>The server does not answer.</strong> Trying again… <span aria-hidden="true">{formatClock(Date.now() - awaySince)}</span>
        </div>
      )}
      {sick.map((text) => (
        <div key={String(text)} class="banner banner-error">
          {text}
        </div>
      ))}
      {!clockSeen && Math.abs(clockOffsetMs) > CLOCK_REMARK_MS && (
        <div class="banner banner-warning">
          This computer's clock is {formatLength(Math.round(Math.abs(clockOffsetMs) / 60_000) * 60_000)} {clockOffsetMs < 0 ? "ahead of" : "behind"} the server's. All times here are the server's.
          <button type="button" onClick={() => setClockSeen(true)}>
            OK
          </button>
        </div>
      )}
    </div>
  );
}
