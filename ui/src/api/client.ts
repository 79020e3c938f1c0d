// Requests to the admin API. In: arguments. Out: typed answers, or an ApiError with a sentence to show.

import type { ExportInfo, Lock, RangeAnswer, SourceReport, Status, Stream, StreamInput } from "./types.ts";

const BASE = "/api/v1";

/** `status` 0: the server did not answer at all. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

type Listener = (answered: boolean) => void;
const listeners = new Set<Listener>();

/** Told after each request whether the server answered it. */
export function onAnswered(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

interface Options {
  method?: string;
  body?: unknown;
  etag?: string | null;
  signal?: AbortSignal | null;
}

async function request(path: string, { method = "GET", body, etag, signal }: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (etag) headers["if-match"] = etag;
  let response: Response;
  try {
    const init: RequestInit = { method, headers, cache: "no-store" };
    if (body !== undefined) init.body = JSON.stringify(body);
    init.signal = signal ?? AbortSignal.timeout(20_000);
    response = await fetch(BASE + path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    for (const listener of listeners) listener(false);
    throw new ApiError(0, "The server does not answer.");
  }
  for (const listener of listeners) listener(true);
  if (response.ok) return response;
  throw new ApiError(response.status, await sentence(response));
}

async function sentence(response: Response): Promise<string> {
  try {
    const problem: unknown = await response.json();
    if (typeof problem === "object" && problem !== null && "detail" in problem && typeof problem.detail === "string") return problem.detail;
  } catch {
    // Not problem+json: something between here and the server answered.
  }
  if (response.status === 401) return "You are not signed in.";
  if (response.status === 403) return "You may not do this.";
  if (response.status === 404) return "There is no such thing (any more).";
  return response.status >= 500 ? "The server could not do this just now. Try again." : `The server refused (${response.status}).`;
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await request(path, { signal: signal ?? null })).json()) as T;
}

const of = (name: string): string => `/streams/${encodeURIComponent(name)}`;

const query = (values: Record<string, string | number | null | undefined>): string => {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value !== null && value !== undefined && value !== "") search.set(key, String(value));
  return `?${search}`;
};

/** All streams, page by page. */
export async function listStreams(): Promise<Stream[]> {
  const streams: Stream[] = [];
  let cursor: string | null = null;
  do {
    const page: { streams: Stream[]; next_cursor: string | null } = await get(`/streams${query({ limit: 500, cursor })}`);
    streams.push(...page.streams);
    cursor = page.next_cursor;
  } while (cursor);
  return streams;
}

export async function getStream(name: string): Promise<{ stream: Stream; etag: string | null }> {
  const response = await request(of(name));
  return { stream: (await response.json()) as Stream, etag: response.headers.get("etag") };
}

export async function createStream(input: StreamInput): Promise<Stream> {
  return (await (await request("/streams", { method: "POST", body: input })).json()) as Stream;
}

export async function updateStream(input: StreamInput, etag: string | null): Promise<Stream> {
  return (await (await request(of(input.name), { method: "PUT", body: input, etag })).json()) as Stream;
}

export async function deleteStream(name: string, etag: string | null): Promise<void> {
  await request(of(name), { method: "DELETE", etag });
}

export async function testSource(source: string, signal: AbortSignal): Promise<SourceReport> {
  return (await (await request("/sources/test", { method: "POST", body: { source }, signal })).json()) as SourceReport;
}

export const getRanges = (name: string, fromMs: number, toMs: number, resolutionMs: number): Promise<RangeAnswer> =>
  get(`${of(name)}/ranges${query({ from_ms: Math.floor(fromMs), to_ms: Math.ceil(toMs), resolution_ms: Math.max(1, Math.floor(resolutionMs)) })}`);

export const getLocks = async (name: string): Promise<Lock[]> => (await get<{ locks: Lock[] }>(`${of(name)}/locks`)).locks;

export async function createLock(name: string, fromMs: number, toMs: number, title: string): Promise<Lock> {
  return (await (await request(`${of(name)}/locks`, { method: "POST", body: { from_ms: fromMs, to_ms: toMs, title } })).json()) as Lock;
}

export async function releaseLock(name: string, id: string): Promise<void> {
  await request(`${of(name)}/locks/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export interface ExportRequest {
  fromMs: number;
  durationMs: number;
  tracks: string[] | null;
  format: "mp4" | "ts";
}

export const getExport = (name: string, wanted: ExportRequest, signal: AbortSignal): Promise<ExportInfo> =>
  get(
    `${of(name)}/export${query({ from_ms: wanted.fromMs, duration_ms: wanted.durationMs, tracks: wanted.tracks?.join(","), format: wanted.format })}`,
    signal,
  );

export const getStatus = (): Promise<Status> => get("/status");
export const getStorage = (): Promise<{ bytes: number; streams: { name: string; bytes: number }[] }> => get("/storage");

/** Path of a stream's playback URLs: its name's parts stay parts. */
export const playbackPath = (name: string): string => `/${name.split("/").map(encodeURIComponent).join("/")}`;
