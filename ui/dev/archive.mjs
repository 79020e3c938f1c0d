// Archives made of arithmetic: streams with their recorded spans, for the mock. Never: keeps anything on disk.

const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

const video = (codec, codec_name, width, height) => ({ id: "v1", kind: "video", codec, codec_name, width, height, frame_rate_milli: 25000, bitrate_bps: width > 2000 ? 14_200_000 : 3_900_000 });
const audio = (id, codec, codec_name, language, channels = 2) => ({ id, kind: "audio", codec, codec_name, language, sample_rate: 48000, channels, bitrate_bps: channels > 2 ? 384_000 : 128_000 });
const plain = [video("avc1.4D401E", "H.264", 640, 360), audio("a1", "mp4a.40.2", "AAC", "eng")];

/** A generator of the same numbers each time. */
function numbers(seed) {
  let state = seed;
  return () => (state = (state * 16807) % 2147483647) / 2147483647;
}

/** Spans from `first` to `last` with so many gaps. */
function cutUp(first, last, gaps, seed) {
  const random = numbers(seed);
  const every = (last - first) / (gaps + 1);
  const spans = [];
  let at = first;
  for (let i = 0; i < gaps; i += 1) {
    const gapAt = Math.round((first + every * (i + 0.35 + random() * 0.6)) / 2000) * 2000;
    const length = 2000 * Math.ceil((0.2 + random() ** 6 * 8) * Math.min(every / 40_000, 40));
    if (gapAt > at) spans.push({ from_ms: at, to_ms: gapAt });
    at = Math.max(at, gapAt + length);
  }
  spans.push({ from_ms: at, to_ms: last });
  return spans;
}

/** The streams as they stand at `now`. `live`: the archive grows. */
export function makeStreams(now) {
  const grid = (ms) => Math.round(ms / 2000) * 2000;
  const day = (n) => grid(now - n * D);
  const stream = (name, over) => ({
    name,
    origin: "api",
    source: "https://origin.example.com/live/index.m3u8",
    state: "recording",
    reason: null,
    since_ms: now - 3 * H,
    node: "rec-1",
    tracks: plain,
    uncarried: [],
    retention_seconds: 7 * 86400,
    paused: false,
    spans: [],
    live: true,
    locks: [],
    version: 1,
    ...over,
  });
  return [
    stream("demo", {
      origin: "file",
      source: "demo:",
      spans: [
        { from_ms: grid(now - 6 * H), to_ms: grid(now - 4 * H) },
        { from_ms: grid(now - 3.5 * H), to_ms: grid(now - 65 * M) },
        { from_ms: grid(now - 60 * M), to_ms: grid(now - 9 * M) },
        { from_ms: grid(now - 8.9 * M), to_ms: grid(now) },
      ],
    }),
    stream("news", {
      source: "udp://@239.1.1.1:1234",
      retention_seconds: 30 * 86400,
      tracks: [...plain, audio("a2", "mp4a.40.2", "AAC", "deu"), audio("a3", "ac-3", "AC-3", "eng", 6)],
      uncarried: [{ place: "PID 0x120", what: "DVB subtitles", language: "deu" }, { place: "PID 0x130", what: "Teletext", language: null }],
      spans: cutUp(day(30), grid(now), 10_000, 42),
      locks: [{ id: "l1", from_ms: grid(now - 5 * H), to_ms: grid(now - 4 * H), title: "Election night", created_ms: now - 2 * H }],
    }),
    stream("sport/uhd-1", {
      state: "reconnecting",
      reason: "The source does not answer: connection refused. Next attempt in 8 s.",
      since_ms: now - 4 * M,
      source: "srt://contribution.example.com:9000?passphrase=***",
      tracks: [video("hvc1.2.4.L153.B0", "H.265", 3840, 2160), audio("a1", "ec-3", "E-AC-3", "eng", 6)],
      spans: cutUp(day(3), grid(now - 4 * M), 12, 7),
      live: false,
    }),
    stream("cctv/gate", { spans: cutUp(day(400), grid(now), 700, 3), retention_seconds: null, source: "https://user:***@10.1.2.3/stream.ts?a=\"quoted\"&b=<script>alert(1)</script>" }),
    stream("music", { state: "paused", paused: true, live: false, node: null, spans: cutUp(day(9), day(2), 3, 5), since_ms: day(2) }),
    stream("empty", { state: "stopped", reason: "The source's certificate is not trusted: <b>self signed</b> “Ünïcode”.", live: false, node: null, tracks: [], spans: [] }),
  ];
}

/** The stream as the API tells it. */
export function publicStream(s, now) {
  const first = s.spans[0];
  const last = s.spans[s.spans.length - 1];
  const bits = s.tracks.reduce((sum, t) => sum + t.bitrate_bps, 0);
  const recorded = s.spans.reduce((sum, span) => sum + span.to_ms - span.from_ms, 0);
  const { name, origin, source, state, reason, since_ms, node, tracks, uncarried, retention_seconds, paused } = s;
  return {
    name,
    origin,
    source,
    state,
    reason,
    since_ms,
    node,
    tracks,
    uncarried,
    bitrate_bps: s.state === "recording" ? Math.round(bits * (0.97 + 0.06 * Math.abs(Math.sin(now / 7000)))) : null,
    first_ms: first ? first.from_ms : null,
    live_edge_ms: last ? last.to_ms : null,
    stored_bytes: Math.round((recorded / 8000) * bits),
    retention_seconds,
    paused,
  };
}

/** Spans within a window, joined where no further apart than the resolution; the gaps that go with that are counted. */
export function joined(spans, from_ms, to_ms, resolution_ms) {
  const ranges = [];
  for (const span of spans) {
    const from = Math.max(span.from_ms, from_ms);
    const to = Math.min(span.to_ms, to_ms);
    if (to <= from) continue;
    const last = ranges[ranges.length - 1];
    if (last && from - last.to_ms <= resolution_ms) {
      last.to_ms = to;
      last.gaps = (last.gaps ?? 0) + 1;
    } else ranges.push({ from_ms: from, to_ms: to });
  }
  return ranges;
}

/** Gaps within a window. */
export function gapsIn(spans, from_ms, to_ms) {
  const gaps = [];
  let at = from_ms;
  for (const span of spans) {
    if (span.to_ms <= from_ms) continue;
    if (span.from_ms >= to_ms) break;
    if (span.from_ms > at) gaps.push({ from_ms: at, to_ms: span.from_ms });
    at = span.to_ms;
  }
  if (at < to_ms) gaps.push({ from_ms: at, to_ms });
  return gaps;
}
