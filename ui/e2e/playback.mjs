// Playing: live and back to it, gaps and windows, speed, sound, the picture as PNG, the keyboard, codecs, errors in words.

import { dvr, H, iso, M, momentOf, moved, parameter, playheadNear, playing, RED, colourAt, clickAt, settled, still, streamOf, video, view, clock } from "./dvr-page.mjs";
import { momentsOf, pictureAt, pictureMs } from "./clock.mjs";
import { away } from "./facts.mjs";
import { equal, near, ok, saved, test, until } from "./harness.mjs";

/** The clock of a picture that stands still, and the moment that the page says it is. */
async function pictureAndClaim(page, facts) {
  const download = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]).then(([d]) => d);
  const name = download.suggestedFilename();
  const match = /-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-(\d{3})Z\.png$/.exec(name);
  ok(match, `${name} tells the moment`);
  const [y, mo, d, h, m, s, ms] = match.slice(1).map(Number);
  const claimed = Date.UTC(y, mo - 1, d, h, m, s, ms);
  const [shown] = facts.clock ? await momentsOf(await saved(download), facts) : [null];
  return { name, claimed, shown };
}

test("the picture is of the moment that the page says, to the frame; saved as PNG", async ({ page, base, facts }) => {
  const span = facts.spans[facts.longGap + 1];
  const at = span.fromMs + 5 * M;
  await dvr(page, base, `stream=${facts.tv}&t=${iso(at)}`);
  await playing(page);
  await page.keyboard.press("k");
  await still(page);
  for (const key of [null, "ArrowRight", "ArrowRight", "ArrowLeft", "Shift+ArrowRight", "Shift+ArrowLeft"]) {
    const before = (await video(page)).time;
    if (key) {
      await page.keyboard.press(key);
      await until(`${key} moves the picture`, async () => (await video(page)).time !== before);
      await still(page);
    }
    if (!facts.clock) continue;
    let last = null;
    await until(() => `the picture is that of the clock after ${key ?? "a pause"}: ${JSON.stringify(last)}`, async () => {
      last = await pictureAndClaim(page, facts);
      return last.shown === pictureAt(last.claimed, facts);
    });
  }
  const { name, claimed } = await pictureAndClaim(page, facts);
  ok(name.startsWith(`${facts.tv.replaceAll("/", "-")}-`), name);
  ok(claimed >= at && claimed < span.toMs, `${iso(claimed)} is what was played`);
});

test("keyboard: space, J K L, arrows, I and O, + and -", async ({ page, base, facts }) => {
  const at = facts.spans[facts.longGap + 1].fromMs + 4 * M;
  await dvr(page, base, `stream=${facts.tv}&t=${iso(at)}&start=${iso(at - 2 * M)}&span=600`);
  await playing(page);
  await page.keyboard.press(" ");
  await still(page);
  await page.keyboard.press(" ");
  await playing(page);
  await page.keyboard.press("k");
  await still(page);
  const before = (await video(page)).time;
  const frame = (facts.clock?.frame_ms ?? 40) / 1000;
  const goes = (what, by) => until(what, async () => Math.abs((await video(page)).time - before - by) < 0.012);
  await page.keyboard.press("ArrowRight");
  await goes("one frame", frame);
  await page.keyboard.press("Shift+ArrowRight");
  await goes("and one second", frame + 1);
  await page.keyboard.press("Control+ArrowRight");
  await goes("and ten", frame + 11);
  await page.keyboard.press("Control+ArrowLeft");
  await goes("and back", frame + 1);
  await page.keyboard.press("l");
  await playing(page);
  for (const rate of [2, 4, 8]) {
    await page.keyboard.press("l");
    await until(`${rate} times as fast`, async () => (await video(page)).rate === rate);
  }
  await page.keyboard.press("k");
  const from = await clock(page);
  await page.keyboard.press("j");
  await until("it goes backwards", async () => (await clock(page)) < from);
  await page.keyboard.press("k");
  await still(page);
  await page.keyboard.press("i");
  await until("the left limiter is set", () => parameter(page, "in"));
  await page.keyboard.press("Control+ArrowRight");
  await still(page);
  await page.keyboard.press("o");
  await until("ten seconds are selected", async () => /Selected: (9|10|11) s/.test(await page.locator(".date-length").innerText()));
  const v = await view(page);
  near((await moved(page, () => page.keyboard.press("+"))).msPerPx, v.msPerPx / 2, v.msPerPx * 0.02, "zoomed in");
  near((await moved(page, () => page.keyboard.press("-"))).msPerPx, v.msPerPx, v.msPerPx * 0.02, "zoomed out");
  const moves = await moved(page, () => page.keyboard.press("<"));
  ok(moves.startMs < v.startMs, "moved to earlier");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("slider", { name: "Left limiter" }).focus();
  const left = momentOf(page, "in");
  await page.keyboard.press("ArrowLeft");
  await until("the limiter goes a second", async () => momentOf(page, "in") === left - 1000);
  await page.locator(".bar-canvas").focus();
  await page.keyboard.press("x");
  await until("nothing is selected", () => parameter(page, "in") === null);
});

test("keyboard only: from the list to a moment, a selection and its download", async ({ page, base, facts }) => {
  const span = facts.spans[facts.longGap + 1];
  await page.goto(`${base}/ui/`);
  await page.getByRole("link", { name: facts.tv, exact: true }).waitFor();
  const tabTo = (what, found) =>
    until(what, async () => {
      await page.keyboard.press("Tab");
      return page.evaluate(`(${found})(document.activeElement)`);
    });
  await tabTo("the stream's link has the focus", `(e) => e?.textContent === ${JSON.stringify(facts.tv)}`);
  // Whoever sees sees where the focus is.
  ok(await page.evaluate(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" || s.boxShadow !== "none"; }), "the focus is shown");
  await page.keyboard.press("Enter");
  await page.locator(".bar-canvas").waitFor();
  await settled(page);
  await page.keyboard.press("g");
  await until("the date field has the focus", () => page.evaluate(() => document.activeElement?.id === "date-field"));
  await page.keyboard.type(iso(span.fromMs + 3 * M));
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await playheadNear(page, span.fromMs + 3 * M, 5000);
  await playing(page);
  await page.keyboard.press("k");
  await still(page);
  await page.keyboard.press("i");
  await page.keyboard.press("Control+ArrowRight");
  await still(page);
  await page.keyboard.press("o");
  await page.getByRole("link", { name: "Export MP4" }).waitFor();
  await tabTo("the export has the focus", `(e) => e?.textContent.includes("Export MP4")`);
  const download = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]).then(([d]) => d);
  ok(download.suggestedFilename().endsWith(".mp4"), download.suggestedFilename());
});

test("playing goes on over a gap, and from one window to the next", async ({ page, base, facts }) => {
  const gapAt = facts.spans[facts.shortGap].toMs;
  const next = facts.spans[facts.shortGap + 1].fromMs;
  await dvr(page, base, `stream=${facts.tv}&t=${iso(gapAt - 3000)}&start=${iso(gapAt - 5 * M)}&span=600`);
  await playing(page);
  await page.getByText("Nothing is recorded for").waitFor();
  await playheadNear(page, next + 1000, 4000);
  if (facts.clock) await until("the picture is from behind the gap", async () => (await pictureMs(page.locator("video"), facts)) >= next);
  // A window of the far past is two hours long and begins on the minute, five before the moment that was asked for.
  const { stream, fromMs, endMs } = facts.crossing;
  await dvr(page, base, `stream=${stream}&t=${iso(fromMs)}`);
  await playing(page);
  await page.getByLabel("Date and time").fill(iso(endMs - 3000));
  await page.keyboard.press("Enter");
  await page.getByLabel("Date and time").blur();
  await playheadNear(page, endMs + 3000, 2500);
  await playing(page);
  if (facts.clock) await until("the picture is of the second window", async () => (await pictureMs(page.locator("video"), facts)) >= endMs);
});

test("live: followed, left, and back to it", async ({ page, base, facts }) => {
  await dvr(page, base, `stream=${facts.live}`);
  await playing(page, 40_000);
  await page.locator(".live.on").waitFor();
  const { live_edge_ms, first_ms } = await streamOf(base, facts.live);
  await playheadNear(page, live_edge_ms, 25_000);
  const before = await clock(page);
  await until("the playhead moves", async () => (await clock(page)) > before);
  await clickAt(page, Math.max(first_ms + 1000, Date.now() - 30 * M));
  const back = page.getByRole("button", { name: /Back to live/ });
  // Where all of the archive is of the last seconds, that was live, too.
  if (Date.now() - first_ms < M) await page.keyboard.press("k");
  await back.click();
  await page.locator(".live.on").waitFor();
  await playing(page);
});

test("speed, sound", async ({ page, base, facts }) => {
  await dvr(page, base, `stream=${facts.tv}&t=${iso(facts.spans[facts.longGap + 1].fromMs + M)}`);
  await playing(page);
  for (const rate of ["0.5", "2", "8"]) {
    await page.getByLabel("Speed").selectOption(rate);
    equal((await video(page)).rate, Number(rate), "speed");
    await playing(page);
  }
  await page.getByRole("button", { name: "Sound off" }).click();
  ok(await page.locator("video").evaluate((v) => v.muted), "silent");
  await page.getByRole("button", { name: "Sound on" }).click();
  await page.getByLabel("Volume").fill("0.4");
  near(await page.locator("video").evaluate((v) => v.volume), 0.4, 0.001, "volume");
});

test("the sound track can be chosen", { needs: "server" }, async ({ page, base, facts }) => {
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await dvr(page, base, `stream=${facts.tv}&t=${iso(facts.spans[facts.longGap + 1].fromMs + M)}`);
  await playing(page);
  const choice = page.getByLabel("Sound track");
  await choice.waitFor();
  const labels = await choice.locator("option").allInnerTexts();
  equal(labels.length, 2, "sound tracks");
  ok(labels.some((l) => /eng|english/i.test(l)) && labels.some((l) => /deu|ger|deutsch/i.test(l)), `named by language: ${labels}`);
  asked.length = 0;
  await choice.selectOption({ label: labels.find((l) => /deu|ger|deutsch/i.test(l)) });
  await until("the other sound is fetched", () => asked.some((url) => /a2/.test(url.split("/").pop())));
  await playing(page);
  const shown = await until("a picture with its clock", () => pictureMs(page.locator("video"), facts));
  ok(shown > facts.spans[facts.longGap + 1].fromMs, "and the picture goes on");
});

test("without Media Source Extensions the browser's own HLS is used, or it is said that there is none", { withoutMse: true }, async ({ page, base, facts }) => {
  const at = facts.spans[facts.longGap + 1].fromMs + 3 * M;
  await dvr(page, base, `stream=${facts.tv}&t=${iso(at)}`);
  const native = await page.locator("video").evaluate((v) => v.canPlayType("application/vnd.apple.mpegurl"));
  if (!native) {
    await page.getByText("This browser plays neither Media Source Extensions nor HLS.").waitFor();
    return;
  }
  await playing(page, 30_000);
  ok((await page.locator("video").evaluate((v) => v.currentSrc)).endsWith(".m3u8"), "the playlist itself is played");
  if (!facts.clock) return;
  const shown = await until("a picture with its clock", () => pictureMs(page.locator("video"), facts));
  ok(shown >= at - facts.clock.frame_ms && shown < at + 20_000, `the picture of ${iso(shown)} is that of ${iso(at)}`);
});

test("an unplayable codec is named, and export offered", async ({ page, base, facts }) => {
  const { first_ms, live_edge_ms } = await streamOf(base, facts.uhd);
  await dvr(page, base, `stream=${facts.uhd}&t=${iso(first_ms + 1000)}`);
  await page.getByText(/cannot play H\.265 \(hvc1\.|plays neither H\.265 \(hvc1\./).waitFor();
  ok((await page.locator(".over").innerText()).includes("export it"), "export is offered");
  await dvr(page, base, `stream=${facts.uhd}&t=${iso(first_ms + 1000)}&in=${iso(Math.ceil(first_ms / 1000) * 1000 + 2000)}&out=${iso(Math.min(live_edge_ms, Math.ceil(first_ms / 1000) * 1000 + 8000))}`);
  await page.getByRole("link", { name: "Export MP4" }).waitFor();
});

test("an archive with nothing in it", async ({ page, base, facts }) => {
  await dvr(page, base, "stream=empty");
  await page.getByRole("heading", { name: "Nothing is recorded yet" }).waitFor();
  equal(await colourAt(page, Date.now() - 20 * M), RED, "the bar is red");
  await until("the reason is told, as text", async () => facts.emptyReason.test(await page.locator(".over").innerText()));
  for (const key of ["k", "ArrowLeft", "Shift+ArrowRight", "j", "l", "ArrowUp", "ArrowDown", "Home", "End", "i", "o", "s"]) await page.keyboard.press(key);
  await page.getByLabel("Date and time").fill("-2h");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Nothing is recorded at" }).waitFor();
  await page.getByText("There is no later recording.").waitFor();
});

test("an unknown stream", async ({ page, base }) => {
  await page.goto(`${base}/ui/?stream=${encodeURIComponent('<img src=x onerror="alert(1)">')}`);
  await page.getByText("There is no stream “<img").waitFor();
});

test("a page that is opened while the recorder comes back shows the last picture, and then what is on", { alone: true, expected: /./, needs: "server" }, async ({ page, base, facts }) => {
  await until("there is something to come back to", async () => {
    const { first_ms, live_edge_ms } = await streamOf(base, facts.live);
    return live_edge_ms - first_ms > 4000;
  });
  await away(base, facts, 3000);
  // The server answers, and the first segment is still to come.
  await page.waitForTimeout(1000);
  await dvr(page, base, `stream=${facts.live}`);
  await playing(page, 40_000);
  ok(!(await page.locator(".banner-error").count()), "nothing is amiss");
});

test("the server goes away while playing: the page says so, and playing goes on afterwards", { alone: true, expected: /./ }, async ({ page, base, facts }) => {
  await dvr(page, base, `stream=${facts.live}`);
  await playing(page, 40_000);
  const back = away(base, facts, 5000);
  await page.locator(".banner-error").waitFor({ timeout: 30_000 });
  ok((await page.locator(".banner-error").innerText()).includes("The server does not answer."), "in words");
  await back;
  await page.locator(".banner-error").waitFor({ state: "detached", timeout: 60_000 });
  await until("it plays again", () => playing(page, 2000).catch(() => false), 60_000);
});

test("a clock that is wrong by hours is told, and the server's is used", { clockOffsetMs: 3 * H }, async ({ page, base, facts }) => {
  await dvr(page, base, `stream=${facts.live}`);
  await page.getByText("clock is 3 h ahead of the server's").waitFor();
  const live_edge_ms = await until("something is recorded", async () => (await streamOf(base, facts.live)).live_edge_ms);
  await until("the bar ends about now, by the server's clock", async () => {
    const v = await view(page);
    return v.startMs < live_edge_ms && v.startMs + v.msPerPx * v.widthPx < live_edge_ms + H;
  });
  await playing(page, 40_000);
  await playheadNear(page, live_edge_ms, 60_000);
});
