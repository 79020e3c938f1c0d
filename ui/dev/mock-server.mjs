// A server made of arithmetic that answers the admin API and the playback URLs the interface uses, with archives of
// minutes, days and a year. For `npm run dev` and for the browser tests. Nothing but Node; listens on 127.0.0.1.
//
//   node dev/mock-server.mjs [--port 8099] [--dist dist]
//
// For tests: POST /dev/away {"ms": 4000} lets it fall silent for a while, GET /dev/requests lists what was asked.

import { createServer } from "node:http";
import { readFileSync, existsSync, statSync } from "node:fs";
import { dirname, extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gapsIn, joined, makeStreams, publicStream } from "./archive.mjs";
import { groups, pictureMp4 } from "./media.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; " +
  "connect-src 'self'; worker-src 'self' blob:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json", ".woff2": "font/woff2" };

export function startMock({ port = 0, dist = null } = {}) {
  const pieces = groups(readFileSync(resolve(here, "../../assets/demo.ts")));
  let awayUntil = 0;
  const now = () => Date.now();
  const streams = new Map(makeStreams(now()).map((s) => [s.name, s]));
  const listeners = new Set();
  const requests = [];
  let nextLock = 100;
  // hls.js walks from 0 to the discontinuity sequence at each reload: it must stay a count, not a time.
  const firstLoop = Math.floor(Date.now() / 2000 / pieces.length) - 100;

  const grow = setInterval(() => {
    for (const s of streams.values()) {
      if (!s.live) continue;
      const last = s.spans[s.spans.length - 1];
      const edge = Math.floor((Date.now() - 4000) / 2000) * 2000;
      if (!last) s.spans.push({ from_ms: edge - 2000, to_ms: edge });
      else if (edge > last.to_ms) last.to_ms = edge;
    }
    tell("streams", { streams: [...streams.values()].filter((s) => s.live).map((s) => publicStream(s, now())) });
  }, 2000);
  const tell = (event, data) => {
    for (const res of listeners) res.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  const status = () => ({ version: "0.0.0-mock", now_ms: now(), index: { ok: true, message: "SQLite answers in 1 ms" }, store: { ok: true, message: "Writable, 412 GB free" }, roles: ["record", "play", "janitor"] });

  const server = createServer(async (req, res) => {
    if (Date.now() < awayUntil && !req.url.startsWith("/dev/")) return req.socket.destroy();
    requests.push(`${req.method} ${req.url}`);
    if (requests.length > 5000) requests.shift();
    try {
      const url = new URL(req.url, "http://localhost");
      const path = url.pathname;
      if (path === "/") return send(res, 302, "", { location: "/ui/" });
      if (path.startsWith("/dev/")) return dev(req, res, path);
      if (path.startsWith("/ui")) return asset(res, path);
      if (path.startsWith("/api/v1/")) return await api(req, res, url, path.slice("/api/v1".length));
      return playback(req, res, url, path);
    } catch (error) {
      return problem(res, 500, String(error));
    }
  });

  async function dev(req, res, path) {
    if (path === "/dev/requests") return json(res, 200, requests);
    const body = JSON.parse((await text(req)) || "{}");
    if (path === "/dev/away") {
      awayUntil = Date.now() + body.ms;
      for (const listener of listeners) listener.destroy();
    }
    return json(res, 200, {});
  }

  function asset(res, path) {
    if (!dist) return problem(res, 404, "Built files are served with --dist.");
    let file = normalize(join(dist, path.slice("/ui".length)));
    if (!file.startsWith(dist) || !existsSync(file) || statSync(file).isDirectory()) file = join(dist, "index.html");
    const hashed = file.includes("/assets/");
    send(res, 200, readFileSync(file), {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-security-policy": CSP,
      "cache-control": hashed ? "public, max-age=31536000, immutable" : "no-cache",
    });
  }

  async function api(req, res, url, path) {
    const n = (key) => Number(url.searchParams.get(key));
    if (path === "/openapi.json") return send(res, 200, readFileSync(resolve(here, "../src/api/openapi.json")), { "content-type": "application/json" });
    if (path === "/status") return json(res, 200, status());
    if (path === "/storage") {
      const all = [...streams.values()].map((s) => ({ name: s.name, bytes: publicStream(s, now()).stored_bytes }));
      return json(res, 200, { bytes: all.reduce((sum, s) => sum + s.bytes, 0), streams: all });
    }
    if (path === "/events") {
      res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      res.write("retry: 2000\n\n");
      listeners.add(res);
      res.write(`event: status\ndata: ${JSON.stringify(status())}\n\n`);
      const comment = setInterval(() => res.write(": still here\n\n"), 15_000);
      res.on("close", () => {
        clearInterval(comment);
        listeners.delete(res);
      });
      return undefined;
    }
    if (path === "/sources/test" && req.method === "POST") {
      const { source } = JSON.parse(await text(req));
      await new Promise((done) => setTimeout(done, 400));
      if (/refused|bad/.test(source)) return json(res, 200, { ok: false, message: "The source does not answer: connection refused.", took_ms: 412, tracks: [], uncarried: [] });
      const demo = streams.get("news");
      return json(res, 200, { ok: true, message: "2 tracks can be recorded.", took_ms: 1830, tracks: demo.tracks.slice(0, 2), uncarried: demo.uncarried });
    }
    if (path === "/streams" && req.method === "GET") {
      const limit = n("limit") || 100;
      const cursor = url.searchParams.get("cursor") ?? "";
      const names = [...streams.keys()].sort().filter((name) => name > cursor);
      const page = names.slice(0, limit);
      return json(res, 200, { streams: page.map((name) => publicStream(streams.get(name), now())), next_cursor: names.length > limit ? page[page.length - 1] : null });
    }
    if (path === "/streams" && req.method === "POST") {
      const input = JSON.parse(await text(req));
      const wrong = invalid(input);
      if (wrong) return problem(res, 422, wrong);
      if (streams.has(input.name)) return problem(res, 409, `There is a stream “${input.name}” already.`);
      const fresh = { ...makeStreams(now())[0], ...input, origin: "api", state: input.paused ? "paused" : "recording", live: !input.paused, spans: [], locks: [], version: 1, since_ms: now() };
      streams.set(input.name, fresh);
      tell("streams", { streams: [publicStream(fresh, now())] });
      return json(res, 201, publicStream(fresh, now()), { etag: '"1"' });
    }
    const match = /^\/streams\/([^/]+)(?:\/(\w+)(?:\/([^/]+))?)?$/.exec(path);
    const stream = match && streams.get(decodeURIComponent(match[1]));
    if (!stream) return problem(res, 404, "There is no such stream.");
    const [, , part, id] = match;
    if (!part) return one(req, res, stream);
    if (part === "ranges") {
      const resolution_ms = n("resolution_ms") || 1;
      const ranges = joined(stream.spans, n("from_ms"), n("to_ms"), resolution_ms);
      return json(res, 200, { from_ms: n("from_ms"), to_ms: n("to_ms"), resolution_ms, ranges: ranges.slice(0, 20_000), truncated: ranges.length > 20_000 });
    }
    if (part === "locks") {
      if (req.method === "GET") return json(res, 200, { locks: stream.locks });
      if (req.method === "DELETE") {
        stream.locks = stream.locks.filter((lock) => lock.id !== id);
        return send(res, 204, "");
      }
      const input = JSON.parse(await text(req));
      if (!(input.to_ms > input.from_ms)) return problem(res, 422, "A lock must end after it begins.");
      const lock = { ...input, id: `l${(nextLock += 1)}`, created_ms: now() };
      stream.locks.push(lock);
      return json(res, 201, lock);
    }
    if (part === "export") {
      const from = n("from_ms");
      const to = from + n("duration_ms");
      if (to - from > 86_400_000) return problem(res, 400, "A window may be 24 h long at most.");
      const gaps = gapsIn(stream.spans, from, to);
      const length = to - from - gaps.reduce((sum, gap) => sum + gap.to_ms - gap.from_ms, 0);
      if (length <= 0) return problem(res, 404, "Nothing is recorded in this window.");
      const chosen = (url.searchParams.get("tracks") ?? "").split(",").filter(Boolean);
      const tracks = stream.tracks.filter((t) => chosen.length === 0 || chosen.includes(t.id));
      const format = url.searchParams.get("format") ?? "mp4";
      const file = `archive-${from / 1000}-${(to - from) / 1000}.${format}`;
      return json(res, 200, {
        bytes: Math.round((length / 8000) * tracks.reduce((sum, t) => sum + t.bitrate_bps, 0)),
        duration_ms: length,
        file_name: `${stream.name.replaceAll("/", "-")}-${from / 1000}.${format}`,
        url: `/${stream.name}/${file}${chosen.length ? `?tracks=${chosen.join(",")}` : ""}`,
        gaps,
        tracks,
      });
    }
    return problem(res, 404, "There is nothing at this address.");
  }

  const invalid = (input) =>
    !/^[A-Za-z0-9._~-]+(\/[A-Za-z0-9._~-]+)*$/.test(input.name) ? "A name consists of letters, digits, . _ ~ - and / between parts." : !/^(demo|file|https?|udp|srt|rtsp):/.test(input.source) ? "The source is no address that can be recorded." : null;

  async function one(req, res, stream) {
    const etag = `"${stream.version}"`;
    if (req.method === "GET") return json(res, 200, publicStream(stream, now()), { etag });
    if (stream.origin === "file") return problem(res, 409, "This stream is set in the configuration file. Change it there.");
    if (!req.headers["if-match"]) return problem(res, 428, "Say in If-Match which version is meant: the ETag of what was read, or *.");
    if (req.headers["if-match"] !== "*" && req.headers["if-match"] !== etag) return problem(res, 412, "Somebody else changed this stream meanwhile.");
    if (req.method === "DELETE") {
      streams.delete(stream.name);
      tell("removed", { name: stream.name });
      return send(res, 204, "");
    }
    const input = JSON.parse(await text(req));
    const wrong = invalid(input);
    if (wrong) return problem(res, 422, wrong);
    Object.assign(stream, input, { version: stream.version + 1, state: input.paused ? "paused" : "recording", live: !input.paused, reason: null });
    tell("streams", { streams: [publicStream(stream, now())] });
    return json(res, 200, publicStream(stream, now()), { etag: `"${stream.version}"` });
  }

  function playback(req, res, url, path) {
    const at = path.lastIndexOf("/");
    const name = decodeURIComponent(path.slice(1, at));
    const file = path.slice(at + 1);
    const stream = streams.get(name);
    if (!stream) return problem(res, 404, "There is no such stream.");
    let match = /^segment-(\d+)\.ts$/.exec(file);
    if (match) return send(res, 200, pieces[Number(match[1]) % pieces.length], { "content-type": "video/mp2t", "cache-control": "public, max-age=31536000, immutable" });
    match = /^(\d+)-preview\.mp4$/.exec(file);
    if (match) {
      const ms = timeOf(match[1]);
      const found = stream.spans.some((span) => span.from_ms <= ms && span.to_ms > ms);
      if (!found) return problem(res, 404, "Nothing is recorded then.");
      return send(res, 200, pictureMp4(pieces[Math.floor(ms / 2000) % pieces.length]), { "content-type": "video/mp4", "cache-control": "public, max-age=3600" });
    }
    if (file === "preview.mp4") return stream.spans.length ? send(res, 200, pictureMp4(pieces[Math.floor(now() / 2000) % pieces.length]), { "content-type": "video/mp4" }) : problem(res, 404, "Nothing is recorded yet.");
    match = /^archive-(\d+)-(\d+)\.(mp4|ts)$/.exec(file);
    if (match) {
      const body = match[3] === "ts" ? Buffer.concat(pieces) : pictureMp4(pieces[0]);
      return send(res, 200, body, { "content-type": match[3] === "ts" ? "video/mp2t" : "video/mp4", "content-disposition": `attachment; filename="${name.replaceAll("/", "-")}-${match[1]}.${match[3]}"` });
    }
    if (file === "media_info.json") return json(res, 200, { stream: name, tracks: stream.tracks, uncarried: stream.uncarried });
    return playlist(res, url, stream, file);
  }

  function playlist(res, url, stream, file) {
    const name = file.replace(/(\.fmp4|\.ts)?\.m3u8$/, "");
    const tracks = (url.searchParams.get("tracks") ?? "").length ? stream.tracks : stream.tracks;
    if (!file.startsWith("media-") && tracks.some((t) => t.kind === "video")) {
      const codecs = tracks.filter((t) => t.kind === "video" || t.codec.startsWith("mp4a")).map((t) => t.codec);
      const lines = ["#EXTM3U", "#EXT-X-INDEPENDENT-SEGMENTS", `#EXT-X-STREAM-INF:BANDWIDTH=4000000,CODECS="${[...new Set(codecs)].join(",")}",RESOLUTION=640x360`, `media-${file}`];
      return send(res, 200, `${lines.join("\n")}\n`, { "content-type": "application/vnd.apple.mpegurl" });
    }
    const form = name.replace(/^media-/, "");
    const end = stream.spans[stream.spans.length - 1]?.to_ms ?? 0;
    let match = /^(?:index|archive)-(\d+)-(\d+|now)$/.exec(form);
    let window = null;
    if (form === "index") window = { from: end - 30_000, to: end, type: "live" };
    else if (match) {
      const from = timeOf(match[1]);
      window = match[2] === "now" ? { from, to: end, type: "event" } : { from, to: from + Number(match[2]) * 1000, type: "vod" };
    }
    if (!window) return problem(res, 404, "There is nothing at this address.");
    if (window.to - window.from > 86_400_000) return problem(res, 400, "A window may be 24 h long at most.");
    const lines = [];
    let sequence = null;
    let last = null;
    for (const span of stream.spans) {
      if (span.to_ms <= window.from) continue;
      if (span.from_ms >= window.to) break;
      const first = Math.max(Math.ceil(span.from_ms / 2000), Math.floor(window.from / 2000));
      for (let k = first; (k + 1) * 2000 <= Math.min(span.to_ms, Math.ceil(window.to / 2000) * 2000); k += 1) {
        if (last !== null && (k !== last + 1 || k % pieces.length === 0)) lines.push("#EXT-X-DISCONTINUITY");
        lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(k * 2000).toISOString()}`, "#EXTINF:2.000,", `segment-${k}.ts`);
        sequence ??= k;
        last = k;
      }
    }
    if (last === null) return problem(res, 404, "Nothing is recorded in this window.");
    const head = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-TARGETDURATION:2", "#EXT-X-INDEPENDENT-SEGMENTS", `#EXT-X-MEDIA-SEQUENCE:${window.type === "vod" ? 0 : sequence}`, `#EXT-X-DISCONTINUITY-SEQUENCE:${window.type === "live" ? Math.max(0, Math.floor(sequence / pieces.length) - firstLoop) : 0}`];
    if (window.type === "event" || window.type === "vod") head.push(`#EXT-X-PLAYLIST-TYPE:${window.type.toUpperCase()}`);
    if (window.type === "event") head.push("#EXT-X-START:TIME-OFFSET=0");
    if (window.type === "vod" || (window.type === "event" && !stream.live)) lines.push("#EXT-X-ENDLIST");
    return send(res, 200, `${[...head, ...lines].join("\n")}\n`, { "content-type": "application/vnd.apple.mpegurl", "cache-control": "no-store" });
  }

  return new Promise((done) => {
    server.listen(port, "127.0.0.1", () => {
      done({
        url: `http://127.0.0.1:${server.address().port}`,
        close: () => {
          clearInterval(grow);
          for (const res of listeners) res.destroy();
          server.closeAllConnections();
          return new Promise((closed) => server.close(closed));
        },
      });
    });
  });
}

const timeOf = (digits) => (Number(digits) > 1e11 ? Number(digits) : Number(digits) * 1000);

function send(res, code, body, headers = {}) {
  res.writeHead(code, { "content-length": Buffer.byteLength(body), ...headers });
  res.end(body);
}
const json = (res, code, value, headers = {}) => send(res, code, JSON.stringify(value), { "content-type": "application/json", "cache-control": "no-store", ...headers });
const problem = (res, code, detail) => send(res, code, JSON.stringify({ type: "about:blank", title: "Error", status: code, detail }), { "content-type": "application/problem+json" });

async function text(req) {
  const parts = [];
  for await (const part of req) parts.push(part);
  return Buffer.concat(parts).toString();
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const option = (name, fallback) => {
    const at = process.argv.indexOf(`--${name}`);
    return at > 0 ? process.argv[at + 1] : fallback;
  };
  const dist = option("dist", null);
  const mock = await startMock({ port: Number(option("port", 8099)), dist: dist && resolve(dist) });
  console.log(`The mock answers at ${mock.url}${dist ? "/ui/" : ""}`);
}
