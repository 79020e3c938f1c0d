// What the browser tests know of the server they run against: names of streams, spans of an archive, how its pictures
// tell the time. In: EVERTAPE_UI_FACTS, a file that tests/ui writes; without it, the mock's archives. Out: `Facts`.
//
//   tv        a stream with an archive that is not on air in the tests of moments; spans: its recorded parts
//   longGap   number of the span before half an hour of nothing; shortGap: of the one before six seconds of nothing
//   crossing  from where a window of two hours is opened, and where it ends
//   clock     how pictures of `tv` tell their moment; null: they do not (the mock)
//   control   an address that kills the server and starts it again; null: the mock does it by itself

import { readFileSync } from "node:fs";

const M = 60_000;

export async function factsOf(base) {
  const given = process.env.EVERTAPE_UI_FACTS;
  if (!given) return ofMock(base);
  const read = JSON.parse(readFileSync(given, "utf8"));
  const [from] = read.spans[read.windows];
  return {
    ...read,
    spans: read.spans.map(([fromMs, toMs]) => ({ fromMs, toMs })),
    crossing: { stream: read.tv, fromMs: from + 6 * M, endMs: from + 121 * M },
    emptyReason: /Nothing has come from the source yet\.|no media for \d+ s/,
    rows: [
      [read.tv, ["Paused", "udp://@239.1.1.1:1234", "H.264, AAC", "256×144", "kbit/s", "2 d 23 h", "MB", "kept for 30 d"]],
      [read.live, ["Recording", "demo:", "H.264", "bit/s", "kept for 7 d"]],
      [read.uhd, ["Reconnecting", "H.265", "kept for ever"]],
      [read.hostile, ["Reconnecting", read.hostileShown]],
      ["empty", ["empty", "no tracks yet"]],
      [read.leftOver, ["Stopped", "set nowhere any more", "archive only"]],
    ],
    bad: { source: "http://127.0.0.1:9/a.m3u8", says: "gives nothing" },
    good: { source: "demo:", says: ["2 tracks can be recorded.", "H.264", "AAC"] },
  };
}

async function ofMock(base) {
  const spans = async (name) =>
    (await (await fetch(`${base}/api/v1/streams/${encodeURIComponent(name)}/ranges?from_ms=0&to_ms=${Date.now()}&resolution_ms=1`)).json()).ranges.map((r) => ({ fromMs: r.from_ms, toMs: r.to_ms }));
  const longest = (await spans("music")).sort((a, b) => b.toMs - b.fromMs - (a.toMs - a.fromMs))[0];
  const from = Math.ceil(longest.fromMs / M) * M + 10 * M;
  return {
    tv: "demo",
    live: "demo",
    uhd: "sport/uhd-1",
    spans: await spans("demo"),
    longGap: 0,
    shortGap: 2,
    crossing: { stream: "music", fromMs: from, endMs: from + 115 * M },
    clock: null,
    control: null,
    emptyReason: /<b>self signed<\/b> “Ünïcode”/,
    rows: [
      ["news", ["Recording", "udp://@239.1.1.1:1234", "H.264", "Mbit/s", "30 d", "TB"]],
      ["sport/uhd-1", ["Reconnecting", "connection refused"]],
      ["empty", ["<b>self signed</b> “Ünïcode”"]],
      ["cctv/gate", ["<script>alert(1)</script>"]],
    ],
    bad: { source: "https://bad.example.com/a.m3u8", says: "connection refused" },
    good: { source: "https://origin.example.com/a.m3u8?x=\"1\"&y='2'", says: ["2 tracks can be recorded.", "Teletext"] },
  };
}

/** Ends the server, and starts it again after so long; comes back when it is there again. */
export async function away(base, facts, ms) {
  if (facts.control) await fetch(`${facts.control}/away?ms=${ms}`, { method: "POST" });
  else await fetch(`${base}/dev/away`, { method: "POST", body: JSON.stringify({ ms }) });
}
