// The admin API, version 1, as the interface sees it. Times are UTC milliseconds.

export type StreamState = "recording" | "reconnecting" | "stopped" | "paused" | "unknown";

export interface Track {
  id: string;
  kind: "video" | "audio";
  codec: string;
  codec_name: string;
  language?: string | null;
  width?: number;
  height?: number;
  frame_rate_milli?: number;
  sample_rate?: number;
  channels?: number;
  bitrate_bps?: number | null;
}

export interface Uncarried {
  place: string;
  what: string;
  language?: string | null;
}

export interface Stream {
  name: string;
  origin: "file" | "api";
  source: string;
  state: StreamState;
  reason: string | null;
  since_ms: number | null;
  node: string | null;
  tracks: Track[];
  uncarried: Uncarried[];
  bitrate_bps: number | null;
  first_ms: number | null;
  live_edge_ms: number | null;
  stored_bytes: number;
  retention_seconds: number | null;
  paused: boolean;
}

export interface StreamInput {
  name: string;
  source: string;
  retention_seconds: number | null;
  paused: boolean;
}

export interface SourceReport {
  ok: boolean;
  message: string;
  took_ms: number;
  tracks: Track[];
  uncarried: Uncarried[];
}

export interface RangeAnswer {
  from_ms: number;
  to_ms: number;
  resolution_ms: number;
  ranges: { from_ms: number; to_ms: number; gaps?: number }[];
  truncated: boolean;
}

export interface Lock {
  id: string;
  from_ms: number;
  to_ms: number;
  title: string;
  created_ms: number;
}

export interface ExportInfo {
  bytes: number;
  duration_ms: number;
  file_name: string;
  url: string;
  gaps: { from_ms: number; to_ms: number }[];
  tracks: Track[];
}

export interface Status {
  version: string;
  now_ms: number;
  index: { ok: boolean; message: string };
  store: { ok: boolean; message: string };
  roles: string[];
}
