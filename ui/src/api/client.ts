// Requests to the admin API. In: arguments. Out: typed answers, or an ApiError with a sentence to show.

import type { ExportInfo, Lock, Operations, RangeAnswer, SourceReport, Status, Stream, StreamInput, StreamPage } from "./types.ts";

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

type Asked<O extends keyof Operations> = Omit<Operations[O], "answer"> & { etag?: string | null; signal?: AbortSignal | null };

/** Asks for an operation of the API's document, whose types say what belongs to it. */
async function call<O extends keyof Operations>(operation: O, asked: Asked<O>): Promise<Response> {
  const { path, query, body, etag, signal } = asked as { path?: object; query?: object; body?: unknown; etag?: string | null; signal?: AbortSignal | null };
  const [method = "GET", template = ""] = operation.split(" ");
  let address = template;
  for (const [key, value] of Object.entries(path ?? {})) address = address.replace(`{${key}}`, encodeURIComponent(String(value)));
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) search.set(key, String(value));
  const headers: Record<string, string> = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (etag) headers["if-match"] = etag;
  let response: Response;
  try {
    const init: RequestInit = { method, headers, cache: "no-store" };
    if (body !== undefined) init.body = JSON.stringify(body);
    init.signal = signal ?? AbortSignal.timeout(20_000);
    response = await fetch(address + (search.size > 0 ? `?${search}` : ""), init);
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

const read = async <O extends keyof Operations>(operation: O, asked: Asked<O>): Promise<Operations[O]["answer"]> => (await (await call(operation, asked)).json()) as Operations[O]["answer"];

/** All streams, page by page. */
export async function listStreams(): Promise<Stream[]> {
  const streams: Stream[] = [];
  let cursor: string | null = null;
  do {
    const page: StreamPage = await read("GET /api/v1/streams", { query: { limit: 500, ...(cursor === null ? {} : { cursor }) } });
    streams.push(...page.streams);
    cursor = page.next_cursor;
  } while (cursor);
  return streams;
}

export async function getStream(name: string): Promise<{ stream: Stream; etag: string | null }> {
  const response = await call("GET /api/v1/streams/{name}", { path: { name } });
  return { stream: (await response.json()) as Stream, etag: response.headers.get("etag") };
}

export const createStream = (body: StreamInput): Promise<Stream> => read("POST /api/v1/streams", { body });

export const updateStream = (body: StreamInput, etag: string | null): Promise<Stream> => read("PUT /api/v1/streams/{name}", { path: { name: body.name }, body, etag });

export async function deleteStream(name: string, etag: string | null): Promise<void> {
  await call("DELETE /api/v1/streams/{name}", { path: { name }, etag });
}

export const testSource = (source: string, signal: AbortSignal): Promise<SourceReport> => read("POST /api/v1/sources/test", { body: { source }, signal });

export const getRanges = (name: string, fromMs: number, toMs: number, resolutionMs: number): Promise<RangeAnswer> =>
  read("GET /api/v1/streams/{name}/ranges", { path: { name }, query: { from_ms: Math.floor(fromMs), to_ms: Math.ceil(toMs), resolution_ms: Math.max(1, Math.floor(resolutionMs)) } });

export const getLocks = async (name: string): Promise<Lock[]> => (await read("GET /api/v1/streams/{name}/locks", { path: { name } })).locks;

export const createLock = (name: string, fromMs: number, toMs: number, title: string): Promise<Lock> =>
  read("POST /api/v1/streams/{name}/locks", { path: { name }, body: { from_ms: fromMs, to_ms: toMs, title } });

export async function releaseLock(name: string, id: string): Promise<void> {
  await call("DELETE /api/v1/streams/{name}/locks/{id}", { path: { name, id } });
}

export interface ExportRequest {
  fromMs: number;
  durationMs: number;
  tracks: string[] | null;
  format: "mp4" | "ts";
}

export const getExport = (name: string, wanted: ExportRequest, signal: AbortSignal): Promise<ExportInfo> =>
  read("GET /api/v1/streams/{name}/export", {
    path: { name },
    query: { from_ms: wanted.fromMs, duration_ms: wanted.durationMs, format: wanted.format, ...(wanted.tracks ? { tracks: wanted.tracks.join(",") } : {}) },
    signal,
  });

export const getStatus = (): Promise<Status> => read("GET /api/v1/status", {});

/** Where the document of the API itself is. */
export const DOCUMENT = "/api/v1/openapi.json";

/** Path of a stream's playback URLs: its name's parts stay parts. */
export const playbackPath = (name: string): string => `/${name.split("/").map(encodeURIComponent).join("/")}`;
