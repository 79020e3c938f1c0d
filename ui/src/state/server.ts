// What the server said last: its streams, its status, its clock, and whether it answers at all. Fed by one list of the
// streams and then by server-sent events; when the server was away, by a new list.

import { ApiError, getStatus, listStreams, onAnswered } from "../api/client.ts";
import type { Status, Stream } from "../api/types.ts";
import { Store } from "./store.ts";

export interface ServerState {
  streams: ReadonlyMap<string, Stream>;
  loaded: boolean;
  /** Why the list could not be had, when it is not because the server is away. */
  error: string | null;
  status: Status | null;
  /** Since when the server has not answered, by this computer's clock. */
  awaySince: number | null;
  /** What is added to this computer's clock to get the server's. */
  clockOffsetMs: number;
}

export const server = new Store<ServerState>({
  streams: new Map(),
  loaded: false,
  error: null,
  status: null,
  awaySince: null,
  clockOffsetMs: 0,
});

/** Now, by the server's clock: the one by which it records. */
export const serverNow = (): number => Date.now() + server.value.clockOffsetMs;

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 10_000;
/** Beyond this the clocks differ so much that it is said. */
export const CLOCK_REMARK_MS = 60_000;

export function startServerState(): void {
  onAnswered((answered) => {
    if (!answered) away();
  });
  connect(FIRST_PAUSE_MS);
  void reload();
}

function away(): void {
  if (server.value.awaySince === null) server.update({ awaySince: Date.now() });
}

/** Asks for the whole list. */
export async function reload(): Promise<void> {
  try {
    // With the server's clock: by this computer's, which may be wrong, nothing might be on air.
    const [status, streams] = await Promise.all([getStatus().catch(() => null), listStreams()]);
    if (status) takeStatus(status);
    server.update({ streams: new Map(streams.map((s) => [s.name, s])), loaded: true, error: null });
  } catch (error) {
    if (error instanceof ApiError && error.status !== 0) server.update({ error: error.message, loaded: true });
  }
}

/** Takes over a stream that an answer told of, without waiting for the event. */
export function takeStream(stream: Stream): void {
  server.update({ streams: new Map(server.value.streams).set(stream.name, stream) });
}

export function dropStream(name: string): void {
  if (!server.value.streams.has(name)) return;
  const streams = new Map(server.value.streams);
  streams.delete(name);
  server.update({ streams });
}

function connect(pauseMs: number): void {
  const events = new EventSource("/api/v1/events");
  let next = pauseMs;
  events.onopen = () => {
    next = FIRST_PAUSE_MS;
    const wasAway = server.value.awaySince !== null;
    server.update({ awaySince: null });
    if (wasAway || !server.value.loaded) void reload();
  };
  events.onerror = () => {
    // The browser would try again by itself only after some of all errors; so it is always done here.
    events.close();
    away();
    setTimeout(() => connect(Math.min(next * 2, LONGEST_PAUSE_MS)), next);
  };
  on<{ streams: Stream[] }>(events, "streams", ({ streams: changed }) => {
    const streams = new Map(server.value.streams);
    for (const stream of changed) streams.set(stream.name, stream);
    server.update({ streams });
  });
  on<{ name: string }>(events, "removed", ({ name }) => dropStream(name));
  on<Status>(events, "status", takeStatus);
}

function takeStatus(status: Status): void {
  const offset = status.now_ms - Date.now();
  const known = server.value.clockOffsetMs;
  // The way of the message takes time: small differences are none.
  server.update({ status, clockOffsetMs: Math.abs(offset - known) > 1500 ? offset : known });
}

function on<T>(events: EventSource, name: string, take: (data: T) => void): void {
  events.addEventListener(name, (event) => {
    try {
      take(JSON.parse((event as MessageEvent<string>).data) as T);
    } catch {
      // One event that cannot be read does not end the others.
    }
  });
}
