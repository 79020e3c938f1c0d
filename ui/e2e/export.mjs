// What the limiters enclose: exported, shared, locked.

import { dvr, iso, M, momentOf, parameter, streamOf } from "./dvr-page.mjs";
import { momentsOf, probe } from "./clock.mjs";
import { equal, near, ok, saved, test, until } from "./harness.mjs";

const selected = (facts, n, fromMs, toMs) => `stream=${facts.tv}&t=${iso(facts.spans[n].fromMs + M)}&in=${iso(fromMs)}&out=${iso(toMs)}`;

async function exported(page, name) {
  const link = page.getByRole("link", { name });
  await link.waitFor();
  return Promise.all([page.waitForEvent("download"), link.click()]).then(([d]) => d);
}

test("the export is told before, and downloaded by the browser: exactly what is between the limiters", async ({ page, base, facts }) => {
  const n = facts.longGap + 1;
  const span = facts.spans[n];
  await dvr(page, base, `stream=${facts.tv}&t=${iso(span.fromMs + M)}&start=${iso(span.fromMs)}&span=900`);
  const bar = await page.locator(".bar-canvas").boundingBox();
  for (const [name, x] of [["Left limiter", 303], ["Right limiter", 407]]) {
    const box = await page.getByRole("slider", { name }).boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(bar.x + x, box.y + 40, { steps: 6 });
    await page.mouse.up();
  }
  await until("both limiters are in the address", () => parameter(page, "in") && momentOf(page, "out") - momentOf(page, "in") < 3 * M);
  const [from, to] = [momentOf(page, "in"), momentOf(page, "out")];
  const seconds = (to - from) / 1000;
  const link = page.getByRole("link", { name: "Export MP4" });
  await link.waitFor();
  await until("the address of the file follows", async () => new URL(await link.getAttribute("href"), base).pathname === `/${facts.tv}/archive-${from / 1000}-${seconds}.mp4`);
  const told = await page.locator(".export-range").innerText();
  ok(/about [\d.]+ (kB|MB)/.test(told), `the size is told: ${told}`);
  const length = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  ok(told.includes(length), `the length is told: ${length} in ${told}`);
  await page.getByLabel("File name").fill('my "clip" <b>/ñ');
  const download = await exported(page, "Export MP4");
  ok(download.suggestedFilename().endsWith(".mp4"), download.suggestedFilename());
  if (!facts.clock) return;
  const file = await saved(download);
  const moments = await momentsOf(file, facts);
  equal(moments[0], from, "the first picture");
  equal(moments.length, (to - from) / facts.clock.frame_ms, "pictures");
  ok(moments.every((ms, i) => ms === from + i * facts.clock.frame_ms), "and none is missing or moved");
  const { format, streams } = await probe(file);
  near(Number(format.duration) * 1000, to - from, 50, "the length by ffprobe");
  equal(streams.map((s) => `${s.codec_name} ${s.tags?.language ?? ""}`).join(", "), "h264 und, aac eng, aac deu", "tracks");
});

test("an export of chosen tracks, and as MPEG-TS", { needs: "server" }, async ({ page, base, facts }) => {
  const n = facts.longGap + 1;
  const from = facts.spans[n].fromMs + 2 * M;
  await dvr(page, base, selected(facts, n, from, from + 20_000));
  await page.getByText("Tracks").click();
  await page.getByRole("checkbox", { name: "a1" }).uncheck();
  const link = page.getByRole("link", { name: "Export MP4" });
  await until("the address names the tracks", async () => (await link.getAttribute("href").catch(() => ""))?.includes("tracks="));
  const some = await probe(await saved(await exported(page, "Export MP4")));
  equal(some.streams.map((s) => `${s.codec_type} ${s.tags?.language ?? ""}`).join(", "), "video und, audio deu", "tracks");
  await page.getByRole("radio", { name: "MPEG-TS" }).check();
  const ts = await exported(page, "Export MPEG-TS");
  ok(ts.suggestedFilename().endsWith(".ts"), ts.suggestedFilename());
  const { format } = await probe(await saved(ts));
  equal(format.format_name, "mpegts", "format");
});

test("of a stream that cannot be played here, the export is whole", { needs: "server" }, async ({ page, base, facts }) => {
  const { first_ms } = await streamOf(base, facts.uhd);
  const from = Math.ceil(first_ms / 1000) * 1000 + 3000;
  await dvr(page, base, `stream=${facts.uhd}&t=${iso(from)}&in=${iso(from)}&out=${iso(from + 9000)}`);
  const file = await saved(await exported(page, "Export MP4"));
  const moments = await momentsOf(file, facts);
  equal(moments[0], from, "the first picture");
  equal(moments.length, 9000 / facts.clock.frame_ms, "pictures");
  equal((await probe(file)).streams[0].codec_name, "hevc", "codec");
});

test("an export with gaps lists them, an empty one says so", async ({ page, base, facts }) => {
  const [before, after] = [facts.spans[facts.longGap], facts.spans[facts.longGap + 1]];
  await dvr(page, base, selected(facts, facts.longGap + 1, before.toMs - 5 * M, after.fromMs + 5 * M));
  await page.getByText("There is a gap of 30 min in this part.").waitFor();
  await dvr(page, base, selected(facts, facts.longGap + 1, before.toMs + M, before.toMs + 2 * M));
  await page.getByText(/Nothing (is|was) recorded in this window\./).waitFor();
});

test("links to share and for players, each with a copy button", async ({ page, base, facts }) => {
  const n = facts.longGap + 1;
  const from = facts.spans[n].fromMs + 2 * M;
  await dvr(page, base, selected(facts, n, from, from + 30_000));
  await page.getByRole("link", { name: "Export MP4" }).waitFor();
  await page.getByText("Links to share").click();
  const place = `${base}/${facts.tv}`;
  const links = {
    "The file, MP4": `${place}/archive-${from / 1000}-30.mp4`,
    "This part, HLS": `${place}/archive-${from / 1000}-30.m3u8`,
    "From its beginning on to live, HLS": `${place}/index-${from / 1000}-now.m3u8`,
    "As if tuned in at its beginning, HLS timeshift": `${place}/timeshift_abs-${from / 1000}.m3u8`,
  };
  for (const [label, expected] of Object.entries(links)) {
    await page.getByRole("button", { name: `Copy: ${label}` }).click();
    await until(`${label} is copied`, async () => (await page.evaluate(() => navigator.clipboard.readText())) === expected);
    if (!facts.clock) continue;
    const answer = await fetch(expected, { headers: label.includes("MP4") ? { range: "bytes=100-199" } : {} });
    // The download can be resumed: any range of it is answered.
    equal(answer.status, label.includes("MP4") ? 206 : 200, `${label}: ${expected}`);
    const body = await answer.arrayBuffer();
    if (label.includes("MP4")) equal(body.byteLength, 100, "bytes of a range");
    else ok(new TextDecoder().decode(body).startsWith("#EXTM3U"), `${label} is a playlist`);
  }
  await page.getByRole("button", { name: "Copy: This page" }).click();
  await until("the address of the page is copied", async () => (await page.evaluate(() => navigator.clipboard.readText())).includes("in="));
});

test("locks: made of the selection, named, listed, drawn, released", async ({ page, base, facts }) => {
  const n = facts.longGap + 1;
  const [from, to] = [facts.spans[n].fromMs + 2 * M, facts.spans[n].fromMs + 6 * M];
  const locks = async () => (await (await fetch(`${base}/api/v1/streams/${encodeURIComponent(facts.tv)}/locks`)).json()).locks;
  await dvr(page, base, `${selected(facts, n, from, to)}&start=${iso(facts.spans[n].fromMs)}&span=900`);
  const name = 'Final "of" <b>cups</b> ñ';
  await page.getByLabel("Name of the lock").fill(name);
  await page.getByRole("button", { name: "Lock selection" }).click();
  await page.locator(".lock-list").getByText(name).waitFor();
  const kept = (await locks()).find((l) => l.title === name);
  equal(`${kept?.from_ms} ${kept?.to_ms}`, `${from} ${to}`, "what is locked");
  // Below the bar, in the colour of locks.
  const wanted = await page.locator(".bar").evaluate((e) => {
    const probe = document.createElement("span");
    probe.style.color = getComputedStyle(e).getPropertyValue("--tl-lock");
    e.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color.match(/\d+/g).slice(0, 3).join(",");
  });
  const { colourAt } = await import("./dvr-page.mjs");
  await until("the lock is drawn", async () => (await colourAt(page, to - 5000, 110)) === wanted);
  await page.getByRole("button", { name: /^Release/ }).click();
  await page.getByRole("button", { name: "Release", exact: true }).click();
  await page.getByText("Nothing is locked.").waitFor();
  equal((await locks()).filter((l) => l.title === name).length, 0, "locks left");
});
