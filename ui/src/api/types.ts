// Made of openapi.json, the document of the admin API, by dev/make-types.mjs: run `make api-types`, change nothing here.

/** What a file would be. */
export interface ExportInfo {
  /** Exactly. */
  bytes: number;
  /** Of what is recorded in the window. */
  duration_ms: number;
  /** Name for saving. */
  file_name: string;
  /** Parts of the window that are not recorded. */
  gaps: Span[];
  /** Tracks in it. */
  tracks: Track[];
  /** Where it is. */
  url: string;
}

/** Whether something can be reached. */
export interface Health {
  /** In words. */
  message: string;
  /** It answers. */
  ok: boolean;
}

/** What a track holds. */
export type Kind = "video" | "audio";

/** A time range that retention must keep. */
export interface Lock {
  /** When it was made. */
  created_ms: number;
  /** From when on it keeps nothing; left out for never. */
  expires_ms?: number | null;
  /** First moment that is kept. */
  from_ms: number;
  /** 32 hex digits. */
  id: string;
  /** For people. */
  title: string;
  /** First moment that is not. */
  to_ms: number;
}

/** A lock to be made. */
export interface LockInput {
  /** From when on it keeps nothing, in the future; left out for never. */
  expires_ms?: number | null;
  /** First moment that is kept. */
  from_ms: number;
  /** For people; at most 500 bytes. */
  title: string;
  /** First moment that is not. */
  to_ms: number;
}

/** Locks of a stream. */
export interface Locks {
  /** By start. */
  locks: Lock[];
}

/** Where a stream is set. */
export type Origin = "file" | "api" | "archive";

/** What is recorded in a window. */
export interface RangeAnswer {
  /** As asked. */
  from_ms: number;
  /** Ascending, not cut to the window. */
  ranges: RecordedSpan[];
  /** Spans that lie nearer to each other are one. */
  resolution_ms: number;
  /** As asked. */
  to_ms: number;
  /** There are more than one answer holds. */
  truncated: boolean;
}

/** A span that is recorded. */
export interface RecordedSpan {
  /** First moment. */
  from_ms: number;
  /** Gaps in it that are shorter than the resolution. */
  gaps: number;
  /** First moment behind it. */
  to_ms: number;
}

/** A source to look at. */
export interface SourceInput {
  /** Address. */
  source: string;
  /** The stream whose secrets stand where the address has `***`. */
  stream?: string | null;
}

/** What a look at a source found. */
export interface SourceReport {
  /** What was found, or what is wrong, in words. */
  message: string;
  /** It can be recorded. */
  ok: boolean;
  /** How long that took. */
  took_ms: number;
  /** What would be recorded, pictures first. */
  tracks: Track[];
  /** What would not. */
  uncarried: Uncarried[];
}

/** A span of time. */
export interface Span {
  /** First moment. */
  from_ms: number;
  /** First moment behind it. */
  to_ms: number;
}

/** This process. */
export interface Status {
  /** The time index. */
  index: Health;
  /** By the server's clock. */
  now_ms: number;
  /** What this process does. */
  roles: string[];
  /** The object store. */
  store: Health;
  /** Of the program. */
  version: string;
}

/** Bytes that are stored. */
export interface Storage {
  /** All together. */
  bytes: number;
  /** By stream. */
  streams: StreamBytes[];
}

/** A stream. */
export interface Stream {
  /** All tracks together, lately. */
  bitrate_bps: number | null;
  /** Start of the archive. */
  first_ms: number | null;
  hls: "auto" | "ts" | "fmp4";
  /** End of the newest segment. */
  live_edge_ms: number | null;
  /** Name, as in playback URLs. */
  name: string;
  /** The machine that records it. */
  node: string | null;
  /** Where it is set. */
  origin: Origin;
  /** Nothing is recorded for now. */
  paused: boolean;
  /** Why, in words, where something is wrong. */
  reason: string | null;
  /** Most bytes that are kept; any number when null. */
  retention_bytes: number | null;
  /** How long recordings are kept; for ever when null. */
  retention_seconds: number | null;
  /** Since when. */
  since_ms: number | null;
  /** Address of the source; `***` stands for what is secret. */
  source: string;
  /** A second recorder stands by. */
  standby: boolean;
  /** What is being done about it. */
  state: StreamState;
  /** Bytes of the archive. */
  stored_bytes: number;
  /** Tracks as in the newest segments. */
  tracks: Track[];
  /** What of the source is not recorded. */
  uncarried: Uncarried[];
}

/** Bytes of one stream. */
export interface StreamBytes {
  /** Bytes. */
  bytes: number;
  /** Stream. */
  name: string;
}

/** What is set of a stream. */
export interface StreamInput {
  hls?: "auto" | "ts" | "fmp4";
  /** Name: letters, digits, `.` `_` `~` `-`, and `/` between parts. Cannot be changed later. */
  name: string;
  /** Nothing is recorded for now. */
  paused?: boolean;
  /** Most bytes that are kept; any number when null. Left out: as it was. */
  retention_bytes?: number | null;
  /** How long recordings are kept; for ever when null or left out. */
  retention_seconds?: number | null;
  /** Address. Where a part that was shown as `***` comes back as `***`, it stays as it was. */
  source: string;
  /** Left out: as it was. */
  standby?: boolean | null;
}

/** A page of streams. */
export interface StreamPage {
  /** Where the next page begins; null on the last. */
  next_cursor: string | null;
  /** By name. */
  streams: Stream[];
}

/** What is being done about a stream. */
export type StreamState = "recording" | "reconnecting" | "stopped" | "paused" | "unknown";

/** A track. */
export interface Track {
  /** Bits in a second, lately. */
  bitrate_bps: number | null;
  /** Channels. */
  channels?: number | null;
  /** RFC 6381. */
  codec: string;
  /** For people. */
  codec_name: string;
  /** Pictures in 1000 s. */
  frame_rate_milli?: number | null;
  /** Pixels. */
  height?: number | null;
  /** `v1`, `a1` ... */
  id: string;
  /** Pictures or sound. */
  kind: Kind;
  /** ISO 639. */
  language: string | null;
  /** Hz. */
  sample_rate?: number | null;
  /** Pixels. */
  width?: number | null;
}

/** What of a source is not recorded. */
export interface Uncarried {
  /** ISO 639. */
  language: string | null;
  /** Where in the source. */
  place: string;
  /** What it is. */
  what: string;
}

/** Every operation, by method and address. */
export interface Operations {
  /** Server-sent events: `status`, at once and then now and again, `streams` with those that have changed, `removed` with a name. Ask for the list once they have begun. */
  "GET /api/v1/events": { answer: null };
  /** Looks at a source for some seconds and says what would be recorded. */
  "POST /api/v1/sources/test": { body: SourceInput; answer: SourceReport };
  /** The state of this process, the index and the store. */
  "GET /api/v1/status": { answer: Status };
  /** Bytes that are stored, by stream. */
  "GET /api/v1/storage": { answer: Storage };
  /** Streams, by name. */
  "GET /api/v1/streams": { query: { limit?: number; cursor?: string }; answer: StreamPage };
  /** Makes a stream; recorders begin within seconds. */
  "POST /api/v1/streams": { body: StreamInput; answer: Stream };
  /** One stream. Its `ETag` is wanted back as `If-Match` for a change. */
  "GET /api/v1/streams/{name}": { path: { name: string }; answer: Stream };
  /** Changes a stream as a whole. Needs `If-Match` with the `ETag` of what was read, or `*`. */
  "PUT /api/v1/streams/{name}": { path: { name: string }; body: StreamInput; answer: Stream };
  /** Ends a stream's recording; its archive goes, too, but for locked parts. Needs `If-Match`, as a change does; a stream that is set nowhere and has only an archive has no `ETag`, and needs none. */
  "DELETE /api/v1/streams/{name}": { path: { name: string }; answer: null };
  /** What a file of a window would be: its exact size, its gaps, its address. */
  "GET /api/v1/streams/{name}/export": { path: { name: string }; query: { from_ms: number; duration_ms: number; tracks?: string; format?: string }; answer: ExportInfo };
  /** Locks of a stream, by start. */
  "GET /api/v1/streams/{name}/locks": { path: { name: string }; answer: Locks };
  /** Keeps a time range from retention. */
  "POST /api/v1/streams/{name}/locks": { path: { name: string }; body: LockInput; answer: Lock };
  /** Releases a lock. */
  "DELETE /api/v1/streams/{name}/locks/{id}": { path: { name: string; id: string }; answer: null };
  /** What is recorded in a window. */
  "GET /api/v1/streams/{name}/ranges": { path: { name: string }; query: { from_ms: number; to_ms: number; resolution_ms?: number }; answer: RangeAnswer };
}
