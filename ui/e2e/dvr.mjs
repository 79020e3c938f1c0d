// The DVR tab: colours, click to play, zoom and move, date field, limiters and export, locks, keyboard, deep links.

import { equal, near, ok, test, until } from "./harness.mjs";

const H = 3_600_000;
const M = 60_000;
const iso = (ms) => new Date(Math.round(ms)).toISOString();
const RED = "208,55,63";
const GREEN = "47,158,88";
const BLUE = "31,107,255";

async function dvr(page, base, query) {
  await page.goto(`${base}/ui/?${query}`);
  await until("the timeline is there", () => view(page));
  // Ranges come tile by tile.
  await page.waitForTimeout(600);
}

/** What the bar shows, as the page tells it. */
const view = (page) =>
  page.locator(".bar-canvas").evaluate((c) => (c.dataset.startMs ? { startMs: Number(c.dataset.startMs), msPerPx: Number(c.dataset.msPerPx), widthPx: c.clientWidth } : null));

/** The colour of the bar at a moment, in the middle of the band. */
async function colourAt(page, ms, y = 76) {
  const v = await view(page);
  return page.locator(".bar-canvas").evaluate(
    (canvas, [x, top]) => {
      const dpr = canvas.width / canvas.clientWidth;
      return [...canvas.getContext("2d").getImageData(Math.floor(x * dpr), Math.floor(top * dpr), 1, 1).data.slice(0, 3)].join(",");
    },
    [(ms - v.startMs) / v.msPerPx, y],
  );
}

async function clickAt(page, ms, y = 76) {
  const v = await view(page);
  await page.locator(".bar-canvas").click({ position: { x: (ms - v.startMs) / v.msPerPx, y } });
}

const clock = (page) => page.locator(".clock").innerText();
const video = (page) => page.locator("video").evaluate((v) => ({ time: v.currentTime, paused: v.paused, rate: v.playbackRate, ready: v.readyState, width: v.videoWidth }));
const playing = (page) =>
  until("the picture moves", async () => {
    const a = await video(page);
    await page.waitForTimeout(250);
    const b = await video(page);
    return !b.paused && b.time > a.time;
  });
const streamOf = async (base, name) => (await fetch(`${base}/api/v1/streams/${encodeURIComponent(name)}`)).json();
const rangesOf = async (base, name) => (await (await fetch(`${base}/api/v1/streams/${encodeURIComponent(name)}/ranges?from_ms=0&to_ms=${Date.now()}&resolution_ms=1`)).json()).ranges;
const shownTime = (ms, zone = "Europe/Berlin") => new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(ms);
/** The page's idea of the moment that is played, from its address bar and clock. */
const playheadNear = (page, ms, tolerance) =>
  until(`the clock shows about ${shownTime(ms)}`, async () => {
    const text = await clock(page);
    const parts = text.split(":").map(Number);
    const wanted = shownTime(ms).split(":").map(Number);
    const seconds = (p) => p[0] * 3600 + p[1] * 60 + p[2];
    return Math.abs(seconds(parts) - seconds(wanted)) * 1000 <= tolerance;
  });

test("colours: red where nothing is recorded, green where there is, blue at the current time, none in the future", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  await dvr(page, base, `stream=demo&t=${iso(ranges[1].from_ms + 20 * M)}&start=${iso(ranges[0].from_ms - H)}&span=${9 * 3600}`);
  await playing(page);
  equal(await colourAt(page, ranges[0].from_ms - 30 * M), RED, "before the archive");
  equal(await colourAt(page, ranges[0].from_ms + 30 * M), GREEN, "recorded");
  equal(await colourAt(page, (ranges[0].to_ms + ranges[1].from_ms) / 2), RED, "in the gap");
  equal(await colourAt(page, ranges[1].from_ms + 20 * M), BLUE, "the current time");
  ok(![RED, GREEN, BLUE].includes(await colourAt(page, Date.now() + H)), "the future is neutral");
  // Six seconds of gap in nine hours are less than a pixel.
  const gapAt = ranges[2].to_ms;
  const v = await view(page);
  let seen = false;
  for (let dx = -2; dx <= 2; dx += 1) seen ||= (await colourAt(page, gapAt + dx * v.msPerPx)) === RED;
  ok(seen, "a gap narrower than a pixel shows");
});

test("a click on the bar plays from that moment", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  const from = ranges[1].from_ms;
  await dvr(page, base, `stream=demo&t=${iso(from + M)}&start=${iso(from)}&span=1800`);
  await playing(page);
  await clickAt(page, from + 20 * M);
  await playheadNear(page, from + 20 * M, 4000);
  await playing(page);
  ok(new URL(page.url()).searchParams.get("t"), "the address bar holds the time");
  await clickAt(page, from + 5 * M);
  await playheadNear(page, from + 5 * M, 4000);
});

test("a click into a gap says so and offers the next recorded moment", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  await dvr(page, base, `stream=demo&t=${iso(ranges[1].from_ms + M)}&start=${iso(ranges[0].to_ms - 10 * M)}&span=3600`);
  await clickAt(page, ranges[0].to_ms + 10 * M);
  await page.getByRole("heading", { name: "Nothing is recorded at" }).waitFor();
  await page.getByText("The gap is 30 min long.").waitFor();
  await page.getByRole("button", { name: /next recorded moment/ }).click();
  await playheadNear(page, ranges[1].from_ms, 5000);
  await playing(page);
});

test("buttons: - and + zoom, < and > move", async ({ page, base }) => {
  await dvr(page, base, `stream=demo&t=${iso(Date.now() - 2 * H)}&start=${iso(Date.now() - 3 * H)}&span=7200`);
  const span = async () => {
    await page.waitForTimeout(500);
    const v = await view(page);
    return { span: v.msPerPx * v.widthPx, start: v.startMs };
  };
  const before = await span();
  await page.getByRole("button", { name: "Zoom in" }).click();
  const nearer = await span();
  near(nearer.span, before.span / 2, 1000, "zoomed in");
  await page.getByRole("button", { name: "Zoom out" }).click();
  near((await span()).span, before.span, 1000, "zoomed out");
  await page.getByRole("button", { name: "Earlier" }).click();
  near((await span()).start, before.start - before.span / 2, 5000, "moved to earlier");
  await page.getByRole("button", { name: "Later" }).click();
  near((await span()).start, before.start, 5000, "moved to later");
});

test("the wheel zooms at the pointer, a drag pans, shift and drag selects", async ({ page, base }) => {
  await dvr(page, base, `stream=demo&t=${iso(Date.now() - 2 * H)}&start=${iso(Date.now() - 3 * H)}&span=7200`);
  const box = await page.locator(".bar-canvas").boundingBox();
  const v = await view(page);
  const x = Math.round(box.width * 0.25);
  const at = v.startMs + x * v.msPerPx;
  await page.mouse.move(box.x + x, box.y + 70);
  await page.mouse.wheel(0, -500);
  await page.waitForTimeout(600);
  const zoomed = await view(page);
  ok(zoomed.msPerPx < v.msPerPx * 0.8, "zoomed in");
  near(zoomed.startMs + x * zoomed.msPerPx, at, zoomed.msPerPx * 2, "the moment under the pointer stays");
  await page.mouse.down();
  await page.mouse.move(box.x + x + 200, box.y + 70, { steps: 8 });
  await page.waitForTimeout(150);
  await page.mouse.up();
  await page.waitForTimeout(600);
  const panned = await view(page);
  near(panned.startMs + (x + 200) * panned.msPerPx, at, panned.msPerPx * 12, "the moment goes with the hand");
  await page.keyboard.down("Shift");
  await page.mouse.move(box.x + 300, box.y + 70);
  await page.mouse.down();
  await page.mouse.move(box.x + 500, box.y + 70, { steps: 5 });
  await page.mouse.up();
  await page.keyboard.up("Shift");
  await page.getByText("Selected:").waitFor();
});

test("pinching zooms", { touch: true, width: 390, height: 844 }, async ({ page, base, context }) => {
  await dvr(page, base, `stream=demo&t=${iso(Date.now() - 2 * H)}&start=${iso(Date.now() - 3 * H)}&span=7200`);
  const before = await view(page);
  await page.locator(".bar-canvas").scrollIntoViewIfNeeded();
  const box = await page.locator(".bar-canvas").boundingBox();
  const cdp = await context.newCDPSession(page);
  const y = box.y + 70;
  const touch = (type, points) => cdp.send("Input.dispatchTouchEvent", { type, touchPoints: points.map((x, id) => ({ x: box.x + x, y, id })) });
  await touch("touchStart", [150, 200]);
  for (let i = 1; i <= 6; i += 1) await touch("touchMove", [150 - i * 10, 200 + i * 10]);
  await touch("touchEnd", []);
  await page.waitForTimeout(700);
  const after = await view(page);
  ok(after.msPerPx < before.msPerPx * 0.6, `zoomed in: ${before.msPerPx} to ${after.msPerPx}`);
});

test("the date field takes dates as people write them", async ({ page, base }) => {
  const ranges = await rangesOf(base, "news");
  await dvr(page, base, "stream=news");
  // A moment that is recorded: the middle of the longest range of the last day.
  const recent = ranges.filter((r) => r.from_ms > Date.now() - 20 * H && r.to_ms < Date.now() - 3 * H).sort((a, b) => b.to_ms - b.from_ms - (a.to_ms - a.from_ms))[0];
  const moment = Math.floor((recent.from_ms + recent.to_ms) / 2 / 1000) * 1000;
  const part = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", ...options }).format(moment);
  const [d, m, y] = [part({ day: "2-digit" }), part({ month: "2-digit" }), part({ year: "numeric" })];
  const time = shownTime(moment);
  const field = page.getByLabel("Date and time");
  for (const text of [`${y}-${m}-${d} ${time}`, `${d}.${m}.${y} ${time}`, iso(moment), String(moment / 1000), String(moment)]) {
    await field.fill("-4h");
    await field.press("Enter");
    await page.waitForTimeout(150);
    await field.fill(text);
    await field.press("Enter");
    await playheadNear(page, moment, 4000);
    await page.waitForTimeout(500);
    const v = await view(page);
    near(v.startMs + (v.msPerPx * v.widthPx) / 2, moment, v.msPerPx * 3, `${text} is in the middle of the bar`);
  }
  for (const [text, expected] of [["-2h", Date.now() - 2 * H], ["yesterday 20:00", null]]) {
    await field.fill(text);
    await field.press("Enter");
    await page.waitForTimeout(500);
    const v = await view(page);
    if (expected) near(v.startMs + (v.msPerPx * v.widthPx) / 2, expected, 10_000, text);
    else equal(shownTime(v.startMs + (v.msPerPx * v.widthPx) / 2).slice(0, 5), "20:00", text);
  }
  await field.fill("soon");
  await field.press("Enter");
  await page.getByText("is not a date that is understood").waitFor();
});

test("limiters: dragged, the dates follow, the export is told before and downloaded by the browser", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  const start = ranges[1].from_ms;
  await dvr(page, base, `stream=demo&t=${iso(start + M)}&start=${iso(start)}&span=3600`);
  const bar = await page.locator(".bar-canvas").boundingBox();
  const drag = async (name, x) => {
    const box = await page.getByRole("slider", { name }).boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(bar.x + x, box.y + 40, { steps: 6 });
    await page.mouse.up();
    await page.waitForTimeout(400);
  };
  await drag("Left limiter", 250);
  await drag("Right limiter", 750);
  const query = new URL(page.url()).searchParams;
  const from = Date.parse(query.get("in"));
  const to = Date.parse(query.get("out"));
  const v = await view(page);
  near(from, v.startMs + 250 * v.msPerPx, v.msPerPx * 12, "the left limiter");
  near(to, v.startMs + 750 * v.msPerPx, v.msPerPx * 12, "the right limiter");
  equal((await page.getByTestId("date-from").innerText()).slice(11, 19), shownTime(from), "date under the left limiter");
  equal((await page.getByTestId("date-to").innerText()).slice(11, 19), shownTime(to), "date under the right limiter");
  const link = page.getByRole("link", { name: "Export MP4" });
  await link.waitFor();
  equal(new URL(await link.getAttribute("href"), base).pathname, `/demo/archive-${from / 1000}-${(to - from) / 1000}.mp4`, "the address of the file");
  ok((await page.locator(".export-range").innerText()).includes("MB"), "the size is told");
  await page.getByLabel("File name").fill('my "clip"');
  const download = await Promise.all([page.waitForEvent("download"), link.click()]).then(([d]) => d);
  ok(download.suggestedFilename().endsWith(".mp4"), download.suggestedFilename());
  await page.getByRole("radio", { name: "MPEG-TS" }).check();
  await page.getByRole("link", { name: "Export MPEG-TS" }).waitFor();
  await page.getByText("Links to share").click();
  await page.getByRole("button", { name: "Copy: This part, HLS" }).click();
  equal(await page.evaluate(() => navigator.clipboard.readText()), `${base}/demo/archive-${from / 1000}-${(to - from) / 1000}.m3u8`, "the copied link");
});

test("an export with gaps lists them, an empty one says so", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  await dvr(page, base, `stream=demo&t=${iso(ranges[1].from_ms + M)}&in=${iso(ranges[0].to_ms - 5 * M)}&out=${iso(ranges[1].from_ms + 5 * M)}`);
  await page.getByText("There is a gap of 30 min in this part.").waitFor();
  await dvr(page, base, `stream=demo&t=${iso(ranges[1].from_ms + M)}&in=${iso(ranges[0].to_ms + M)}&out=${iso(ranges[0].to_ms + 2 * M)}`);
  await page.getByText("Nothing is recorded in this window.").waitFor();
});

test("locks: created from the selection, listed, released", async ({ page, base }) => {
  await dvr(page, base, `stream=demo&t=${iso(Date.now() - 30 * M)}&start=${iso(Date.now() - 50 * M)}&span=3000&in=${iso(Date.now() - 40 * M)}&out=${iso(Date.now() - 20 * M)}`);
  await page.getByLabel("Name of the lock").fill('Final "of" <b>cups</b>');
  await page.getByRole("button", { name: "Lock selection" }).click();
  await page.getByText('Final "of" <b>cups</b>').waitFor();
  await page.getByRole("button", { name: /^Release/ }).click();
  await page.getByRole("button", { name: "Release", exact: true }).click();
  await page.getByText("Nothing is locked.").waitFor();
});

test("keyboard: space, J K L, arrows, I and O, + and -", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  const at = ranges[1].from_ms + 10 * M;
  await dvr(page, base, `stream=demo&t=${iso(at)}&start=${iso(at - 5 * M)}&span=1200`);
  await playing(page);
  await page.keyboard.press("k");
  await until("paused", async () => (await video(page)).paused);
  await until("the frame is there", async () => (await video(page)).ready >= 2);
  const before = (await video(page)).time;
  await page.keyboard.press("ArrowRight");
  await page.waitForTimeout(400);
  near((await video(page)).time, before + 0.04, 0.011, "one frame");
  await page.keyboard.press("Shift+ArrowRight");
  await page.waitForTimeout(400);
  near((await video(page)).time, before + 1.04, 0.02, "and one second");
  await page.keyboard.press("l");
  await playing(page);
  await page.keyboard.press("l");
  await until("twice as fast", async () => (await video(page)).rate === 2);
  await page.keyboard.press("l");
  await until("four times", async () => (await video(page)).rate === 4);
  await page.keyboard.press("k");
  await page.keyboard.press("j");
  const from = await clock(page);
  await until("it goes backwards", async () => (await clock(page)) < from);
  await page.keyboard.press("k");
  await page.keyboard.press("i");
  await page.getByText("Selected:").waitFor();
  await page.keyboard.press("Control+ArrowRight");
  await page.waitForTimeout(700);
  await page.keyboard.press("o");
  await until("ten seconds are selected", async () => /Selected: (9|10|11) s/.test(await page.locator(".date-length").innerText()));
  const v = await view(page);
  await page.keyboard.press("+");
  await page.waitForTimeout(600);
  near((await view(page)).msPerPx, v.msPerPx / 2, v.msPerPx * 0.02, "zoomed in");
  await page.keyboard.press("-");
  await page.waitForTimeout(600);
  near((await view(page)).msPerPx, v.msPerPx, v.msPerPx * 0.02, "zoomed out");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("slider", { name: "Left limiter" }).focus();
  const left = new URL(page.url()).searchParams.get("in");
  await page.keyboard.press("ArrowLeft");
  await until("the limiter goes a second", async () => Date.parse(new URL(page.url()).searchParams.get("in")) === Date.parse(left) - 1000);
});

test("the bar stays where the address put it, and turns the page when the playhead runs off it", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  const at = ranges[1].from_ms + 5 * M;
  await dvr(page, base, `stream=demo&t=${iso(at + 58_800)}&start=${iso(at)}&span=60`);
  await playing(page);
  await page.waitForTimeout(600);
  near((await view(page)).startMs, at, 100, "the playhead stood at the end of the bar already");
  await dvr(page, base, `stream=demo&t=${iso(at + 55_000)}&start=${iso(at)}&span=60`);
  await until("the page is turned", async () => (await view(page)).startMs > at + 10_000);
});

test("playing goes on over a gap, and from one window to the next", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  const gapAt = ranges[2].to_ms;
  await dvr(page, base, `stream=demo&t=${iso(gapAt - 3000)}&start=${iso(gapAt - 5 * M)}&span=600`);
  await playing(page);
  await page.getByText("Nothing is recorded for").waitFor();
  await playheadNear(page, ranges[3].from_ms + 1000, 4000);
  // A window of the far past is two hours long and begins on the minute, five before the moment that was asked for.
  const far = ranges[0].from_ms + 6 * M;
  await dvr(page, base, `stream=demo&t=${iso(far)}`);
  await playing(page);
  const news = (await rangesOf(base, "music")).sort((a, b) => b.to_ms - b.from_ms - (a.to_ms - a.from_ms))[0];
  const start = Math.ceil(news.from_ms / M) * M + 10 * M;
  await dvr(page, base, `stream=music&t=${iso(start)}`);
  await playing(page);
  const end = start + 115 * M;
  await page.getByLabel("Date and time").fill(iso(end - 3000));
  await page.keyboard.press("Enter");
  await page.getByLabel("Date and time").blur();
  await playheadNear(page, end + 3000, 2000);
  await playing(page);
});

test("live: followed, left, and back to it", async ({ page, base }) => {
  await dvr(page, base, "stream=demo");
  await playing(page);
  await page.locator(".live.on").waitFor();
  const { live_edge_ms } = await streamOf(base, "demo");
  await playheadNear(page, live_edge_ms, 20_000);
  await clickAt(page, Date.now() - 30 * M);
  await page.getByRole("button", { name: /Back to live/ }).click();
  await page.locator(".live.on").waitFor();
  await playing(page);
});

test("speed, sound, picture as PNG", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  await dvr(page, base, `stream=demo&t=${iso(ranges[1].from_ms + 5 * M)}`);
  await playing(page);
  for (const rate of ["0.5", "8"]) {
    await page.getByLabel("Speed").selectOption(rate);
    equal((await video(page)).rate, Number(rate), "speed");
  }
  await page.keyboard.press("k");
  await page.getByRole("button", { name: "Sound off" }).click();
  ok(await page.locator("video").evaluate((v) => v.muted), "silent");
  const download = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]).then(([d]) => d);
  ok(/^demo-\d{8}-\d{6}-\d{3}Z\.png$/.test(download.suggestedFilename()), download.suggestedFilename());
});

test("a picture is shown under the pointer", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  await dvr(page, base, `stream=demo&t=${iso(ranges[1].from_ms + 5 * M)}&start=${iso(ranges[1].from_ms)}&span=3600`);
  const box = await page.locator(".bar-canvas").boundingBox();
  await page.mouse.move(box.x + 600, box.y + 70);
  await until("the picture has content", () =>
    page.locator(".hover canvas").evaluate((canvas) => {
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return new Set(Array.from({ length: canvas.width }, (_, x) => data.slice(x * 4, x * 4 + 3).join())).size > 5;
    }),
  );
});

test("deep links: stream, time, zoom, selection; back and forward", async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  const from = ranges[1].from_ms;
  await dvr(page, base, `stream=demo&t=${iso(from + 10 * M)}&start=${iso(from)}&span=1800&in=${iso(from + 2 * M)}&out=${iso(from + 4 * M)}`);
  await playheadNear(page, from + 10 * M, 5000);
  await page.getByText("Selected: 2 min").waitFor();
  const v = await view(page);
  near(v.startMs, from, 1000, "the beginning of the bar");
  near(v.msPerPx * v.widthPx, 1_800_000, 1000, "its length");
  await clickAt(page, from + 20 * M);
  await playheadNear(page, from + 20 * M, 5000);
  await page.goBack();
  await playheadNear(page, from + 10 * M, 15_000);
  await page.goForward();
  await playheadNear(page, from + 20 * M, 15_000);
  await page.getByRole("link", { name: "Info" }).click();
  await page.getByRole("heading", { name: "Tracks" }).waitFor();
  await page.goBack();
  await page.locator(".bar-canvas").waitFor();
  ok(page.url().includes("in="), "the selection is in the address again");
});

test("zones: local and UTC are both shown, and can be changed", { zone: "Asia/Kolkata" }, async ({ page, base }) => {
  const ranges = await rangesOf(base, "demo");
  const at = ranges[1].from_ms + 5 * M;
  await dvr(page, base, `stream=demo&t=${iso(at)}`);
  await until("local", async () => (await clock(page)).slice(0, 5) === shownTime(at, "Asia/Kolkata").slice(0, 5));
  ok((await page.locator(".timecode-lines").innerText()).includes(`${shownTime(at, "UTC").slice(0, 5)}`), "UTC beside it");
  await page.getByLabel("Time zone").selectOption("America/New_York");
  await until("another zone", async () => (await clock(page)).slice(0, 5) === shownTime(at, "America/New_York").slice(0, 5));
});

test("an unplayable codec is named, and export offered", async ({ page, base }) => {
  await dvr(page, base, "stream=sport/uhd-1");
  await page.getByText("H.265 (hvc1.2.4.L153.B0)").waitFor();
  ok((await page.locator(".over").innerText()).includes("export it"), "export is offered");
});

test("an archive with nothing in it", async ({ page, base }) => {
  await dvr(page, base, "stream=empty");
  await page.getByRole("heading", { name: "Nothing is recorded yet" }).waitFor();
  equal(await colourAt(page, Date.now() - 20 * M), RED, "the bar is red");
  ok((await page.locator(".over").innerText()).includes("<b>self signed</b>"), "with the reason, as text");
});

test("the server goes away while playing: playing goes on afterwards", { expected: /./ }, async ({ page, base }) => {
  await dvr(page, base, "stream=demo");
  await playing(page);
  await fetch(`${base}/dev/away`, { method: "POST", body: JSON.stringify({ ms: 6000 }) });
  await page.locator(".banner-error").waitFor();
  await page.locator(".banner-error").waitFor({ state: "detached", timeout: 30_000 });
  await until("it plays again", () => playing(page).catch(() => false), 40_000);
});

test("an unknown stream", async ({ page, base }) => {
  await page.goto(`${base}/ui/?stream=${encodeURIComponent('<img src=x onerror="alert(1)">')}`);
  await page.getByText("There is no stream “<img").waitFor();
});
