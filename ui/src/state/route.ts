// The address bar. `/ui/?stream=sport/uhd-1&tab=dvr&t=2014-08-27T18:15:00Z&start=…&span=3600&in=…&out=…`: a query, so that
// one file answers every address and names with slashes need no care on the way. Pure but for go() and the listeners.

import { Store } from "./store.ts";

export type Tab = "dvr" | "settings" | "info";

export interface Route {
  /** A screen that is none of the streams'. */
  page: "api" | null;
  stream: string | null;
  tab: Tab;
  /** What is played; null: live. */
  tMs: number | null;
  /** The period on the timeline. */
  startMs: number | null;
  spanMs: number | null;
  /** The limiters. */
  inMs: number | null;
  outMs: number | null;
}

export const NOWHERE: Route = { page: null, stream: null, tab: "dvr", tMs: null, startMs: null, spanMs: null, inMs: null, outMs: null };

export function parseRoute(search: string): Route {
  const query = new URLSearchParams(search);
  const moment = (key: string): number | null => {
    const text = query.get(key);
    if (!text) return null;
    const ms = /^\d{9,13}$/.test(text) ? Number(text) * (text.length > 11 ? 1 : 1000) : Date.parse(text);
    return Number.isFinite(ms) ? ms : null;
  };
  const tab = query.get("tab");
  const span = Number(query.get("span"));
  const stream = query.get("stream") || null;
  return {
    page: stream === null && query.get("page") === "api" ? "api" : null,
    stream,
    tab: tab === "settings" || tab === "info" ? tab : "dvr",
    tMs: moment("t"),
    startMs: moment("start"),
    spanMs: Number.isFinite(span) && span > 0 ? span * 1000 : null,
    inMs: moment("in"),
    outMs: moment("out"),
  };
}

export function printRoute(route: Route): string {
  const parts: string[] = [];
  const moment = (key: string, ms: number | null): void => {
    if (ms !== null) parts.push(`${key}=${new Date(Math.round(ms)).toISOString().replace(/\.000Z$/, "Z")}`);
  };
  if (route.page) parts.push(`page=${route.page}`);
  if (route.stream) parts.push(`stream=${encodeURIComponent(route.stream).replaceAll("%2F", "/")}`);
  if (route.stream && route.tab !== "dvr") parts.push(`tab=${route.tab}`);
  if (route.stream && route.tab === "dvr") {
    moment("t", route.tMs);
    moment("start", route.startMs);
    if (route.spanMs !== null) parts.push(`span=${Number((route.spanMs / 1000).toPrecision(6))}`);
    moment("in", route.inMs);
    moment("out", route.outMs);
  }
  return parts.length ? `?${parts.join("&")}` : "";
}

/** `by`: who changed it. Back and forward and links are followed; what a screen wrote itself is not. */
export const route = new Store<{ route: Route; by: "browser" | "screen" }>({ route: NOWHERE, by: "browser" });

export function startRoute(): void {
  const read = (): void => route.set({ route: parseRoute(location.search), by: "browser" });
  read();
  addEventListener("popstate", read);
}

export const hrefOf = (to: Partial<Route>): string => `/ui/${printRoute({ ...NOWHERE, ...to })}`;

/** Opens another address; one step back leads here again. */
export function go(to: Partial<Route>): void {
  history.pushState(null, "", hrefOf(to));
  route.set({ route: { ...NOWHERE, ...to }, by: "browser" });
}

/** Writes down where the screen is now: as a step of its own, or in place of what the address bar says. */
export function note(change: Partial<Route>, step: boolean): void {
  const next = { ...route.value.route, ...change };
  const href = `/ui/${printRoute(next)}`;
  if (href === location.pathname + location.search) return;
  if (step) history.pushState(null, "", href);
  else history.replaceState(null, "", href);
  route.set({ route: next, by: "screen" });
}
