// The bar: colours, zoom and move, wheel, drag and pinch, the date field, zones, limiters, pictures under the pointer,
// the address bar.

import { BLUE, clickAt, clock, colourAt, coloursNear, dvr, GREEN, H, iso, M, middleOf, momentOf, moved, parameter, playheadNear, playing, RED, settled, shownTime, video, view } from "./dvr-page.mjs";
import { pictureMs } from "./clock.mjs";
import { equal, near, ok, test, until } from "./harness.mjs";

/** The spans around half an hour of nothing, and around six seconds of nothing. */
const around = (facts, n) => ({ before: facts.spans[n], after: facts.spans[n + 1] });

test("colours: red where nothing is recorded, green where there is, blue at the current time, none in the future", async ({ page, base, facts }) => {
  const { before, after } = around(facts, facts.longGap);
  const at = after.fromMs + 2 * M;
  await dvr(page, base, `stream=${facts.tv}&t=${iso(at)}&start=${iso(before.fromMs - H)}&span=${(after.fromMs - before.fromMs) / 1000 + 3 * 3600}`);
  await playing(page);
  await page.keyboard.press("k");
  equal(await colourAt(page, before.fromMs + 5 * M), GREEN, "recorded");
  equal(await colourAt(page, (before.toMs + after.fromMs) / 2), RED, "in the gap");
  await until("the current time is blue", async () => (await colourAt(page, momentOf(page, "t"))) === BLUE);
  equal(await colourAt(page, after.fromMs + 9 * M), GREEN, "recorded, too");
  await dvr(page, base, `stream=${facts.tv}&t=${iso(at)}&start=${iso(facts.spans[0].fromMs - H)}&span=7200`);
  equal(await colourAt(page, facts.spans[0].fromMs - 30 * M), RED, "before the archive");
  await dvr(page, base, `stream=${facts.tv}&t=${iso(at)}&start=${iso(Date.now() - H)}&span=10800`);
  ok(![RED, GREEN, BLUE].includes(await colourAt(page, Date.now() + H)), "the future is neutral");
});

test("gaps and recordings stay visible at every zoom, from years to seconds", async ({ page, base, facts }) => {
  const { before, after } = around(facts, facts.shortGap);
  const edges = [before.toMs, after.fromMs];
  for (const span of [10 * 365 * 86_400, 365 * 86_400, 30 * 86_400, 86_400, 4 * 3600, 1200, 60, 10]) {
    const middle = (edges[0] + edges[1]) / 2;
    // The current time is elsewhere: its mark is wider than what is looked for.
    await dvr(page, base, `stream=${facts.tv}&t=2014-08-27T18:15:00Z&start=${iso(middle - span * 500)}&span=${span}`);
    // Half of a bar is more than a gap of six seconds only in the nearest views; in all others both are within a pixel or two.
    await until(`red and green with ${span} s on the bar`, async () => {
      const seen = await coloursNear(page, middle, 2);
      const beside = await coloursNear(page, edges[0] - 1000, 2);
      return seen.includes(RED) && [...seen, ...beside].includes(GREEN);
    });
  }
});

test("a click on the bar plays from that moment", async ({ page, base, facts }) => {
  const span = facts.spans[facts.longGap + 1];
  await dvr(page, base, `stream=${facts.tv}&t=${iso(span.fromMs + M)}&start=${iso(span.fromMs)}&span=900`);
  await playing(page);
  for (const minutes of [8, 3, 10]) {
    await clickAt(page, span.fromMs + minutes * M);
    await playheadNear(page, span.fromMs + minutes * M, 4000);
    await playing(page);
    const asked = momentOf(page, "t");
    near(asked, span.fromMs + minutes * M, (await view(page)).msPerPx * 2, "the address bar holds the time");
    if (!facts.clock) continue;
    // The picture itself tells that it is of this moment, or of the seconds since the click.
    const shown = await until("a picture with its clock", () => pictureMs(page.locator("video"), facts));
    ok(shown >= asked - facts.clock.frame_ms && shown < asked + 15_000, `a click at ${iso(asked)} shows the picture of ${iso(shown)}`);
  }
});

test("a click into a gap says so and offers the next recorded moment", async ({ page, base, facts }) => {
  const { before, after } = around(facts, facts.longGap);
  await dvr(page, base, `stream=${facts.tv}&t=${iso(after.fromMs + M)}&start=${iso(before.toMs - 10 * M)}&span=3600`);
  await clickAt(page, before.toMs + 10 * M);
  await page.getByRole("heading", { name: "Nothing is recorded at" }).waitFor();
  await page.getByText("The gap is 30 min long.").waitFor();
  await page.getByRole("button", { name: /next recorded moment/ }).click();
  await playheadNear(page, after.fromMs, 5000);
  await playing(page);
});

test("buttons: - and + zoom, < and > move", async ({ page, base, facts }) => {
  await dvr(page, base, `stream=${facts.tv}&t=${iso(facts.spans[facts.longGap].fromMs + M)}&start=${iso(Date.now() - 3 * H)}&span=7200`);
  const press = async (name) => {
    const v = await moved(page, () => page.getByRole("button", { name, exact: true }).click());
    return { span: v.msPerPx * v.widthPx, start: v.startMs };
  };
  const v = await view(page);
  const before = { span: v.msPerPx * v.widthPx, start: v.startMs };
  near((await press("Zoom in")).span, before.span / 2, 1000, "zoomed in");
  near((await press("Zoom out")).span, before.span, 1000, "zoomed out");
  const { start } = await press("Earlier");
  near(start, before.start - before.span / 2, 60_000, "moved to earlier");
  near((await press("Later")).start, start + before.span / 2, 5000, "moved to later");
});

test("from years to single seconds", async ({ page, base, facts }) => {
  await dvr(page, base, `stream=${facts.tv}&t=${iso(facts.spans[facts.longGap].fromMs + M)}`);
  for (let n = 0; n < 18; n += 1) await page.keyboard.press("-");
  await settled(page);
  await until("twenty years are shown", async () => {
    const v = await view(page);
    return v.msPerPx * v.widthPx > 19 * 365 * 24 * H;
  });
  for (let n = 0; n < 30; n += 1) await page.keyboard.press("+");
  await until("two seconds are shown", async () => {
    const v = await view(page);
    return v.msPerPx * v.widthPx < 2500;
  });
});

test("the wheel zooms at the pointer, a drag pans, shift and drag selects", async ({ page, base, facts }) => {
  await dvr(page, base, `stream=${facts.tv}&t=${iso(facts.spans[facts.longGap].fromMs + M)}&start=${iso(Date.now() - 3 * H)}&span=7200`);
  const box = await page.locator(".bar-canvas").boundingBox();
  const v = await view(page);
  const x = Math.round(box.width * 0.25);
  const at = v.startMs + x * v.msPerPx;
  await page.mouse.move(box.x + x, box.y + 70);
  const zoomed = await moved(page, () => page.mouse.wheel(0, -500));
  ok(zoomed.msPerPx < v.msPerPx * 0.8, "zoomed in");
  near(zoomed.startMs + x * zoomed.msPerPx, at, zoomed.msPerPx * 2, "the moment under the pointer stays");
  const panned = await moved(page, async () => {
    await page.mouse.down();
    await page.mouse.move(box.x + x + 200, box.y + 70, { steps: 8 });
    // The hand rests: it does not throw.
    await page.waitForTimeout(200);
    await page.mouse.up();
  });
  near(panned.startMs + (x + 200) * panned.msPerPx, at, panned.msPerPx * 12, "the moment goes with the hand");
  await page.keyboard.down("Shift");
  await page.mouse.move(box.x + 300, box.y + 70);
  await page.mouse.down();
  await page.mouse.move(box.x + 500, box.y + 70, { steps: 5 });
  await page.mouse.up();
  await page.keyboard.up("Shift");
  await page.getByText("Selected:").waitFor();
});

test("pinching zooms", { touch: true, width: 390, height: 844 }, async ({ page, base, facts, context }) => {
  await dvr(page, base, `stream=${facts.tv}&t=${iso(facts.spans[facts.longGap].fromMs + M)}&start=${iso(Date.now() - 3 * H)}&span=7200`);
  const before = await view(page);
  await page.locator(".bar-canvas").scrollIntoViewIfNeeded();
  const box = await page.locator(".bar-canvas").boundingBox();
  const cdp = await context.newCDPSession(page);
  const y = box.y + 70;
  const touch = (type, points) => cdp.send("Input.dispatchTouchEvent", { type, touchPoints: points.map((x, id) => ({ x: box.x + x, y, id })) });
  const after = await moved(page, async () => {
    await touch("touchStart", [150, 200]);
    for (let i = 1; i <= 6; i += 1) await touch("touchMove", [150 - i * 10, 200 + i * 10]);
    await touch("touchEnd", []);
  });
  ok(after.msPerPx < before.msPerPx * 0.6, `zoomed in: ${before.msPerPx} to ${after.msPerPx}`);
});

test("the date field takes dates as people write them", async ({ page, base, facts }) => {
  const span = facts.spans[facts.longGap];
  await dvr(page, base, `stream=${facts.tv}&t=${iso(span.fromMs + M)}&span=900`);
  const moment = Math.floor((span.fromMs + 6 * M) / 1000) * 1000 + 7000;
  const part = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", ...options }).format(moment);
  const [d, m, y] = [part({ day: "2-digit" }), part({ month: "2-digit" }), part({ year: "numeric" })];
  const time = shownTime(moment);
  const field = page.getByLabel("Date and time");
  const enter = async (text) => {
    await field.fill(text);
    await field.press("Enter");
  };
  const inTheMiddle = (text, expected) =>
    until(`${text} is in the middle of the bar`, async () => {
      const v = await view(page);
      return Math.abs(middleOf(v) - expected) <= Math.max(v.msPerPx * 3, 20_000);
    });
  for (const text of [`${y}-${m}-${d} ${time}`, `${d}.${m}.${y} ${time}`, iso(moment), String(moment / 1000), String(moment)]) {
    await enter(iso(span.fromMs + 2 * M));
    await inTheMiddle("another moment", span.fromMs + 2 * M);
    await enter(text);
    await inTheMiddle(text, moment);
    await playheadNear(page, moment, 4000);
    if (!facts.clock) continue;
    await playing(page);
    const shown = await until("a picture with its clock", () => pictureMs(page.locator("video"), facts));
    ok(shown >= moment - facts.clock.frame_ms && shown < moment + 15_000, `${text} shows the picture of ${iso(shown)}`);
  }
  await enter("-2h");
  await inTheMiddle("-2h", Date.now() - 2 * H);
  await enter("yesterday 20:00");
  await until("yesterday, eight in the evening", async () => shownTime(middleOf(await view(page))).slice(0, 5) === "20:00");
  const yesterday = middleOf(await view(page));
  ok(Date.now() - yesterday > 4 * H && Date.now() - yesterday < 29 * H, "of yesterday");
  await enter("2014-08-27 18:15");
  await inTheMiddle("2014-08-27 18:15", Date.parse("2014-08-27T16:15:00Z"));
  await page.getByRole("heading", { name: "Nothing is recorded at 2014-08-27 18:15:00" }).waitFor();
  // The night in which clocks went back.
  await enter("2014-10-26 02:30");
  await page.getByText("this time came twice").waitFor();
  await inTheMiddle("the first of two", Date.parse("2014-10-26T00:30:00Z"));
  for (const nonsense of ["soon", "31.02.2014 10:00", "<script>alert(1)</script>"]) {
    await enter(nonsense);
    await page.locator("#date-answer.field-error").waitFor();
  }
});

test("zones: local and UTC are both shown, and can be changed", { zone: "Asia/Kolkata" }, async ({ page, base, facts }) => {
  const at = facts.spans[facts.longGap + 1].fromMs + 5 * M;
  await dvr(page, base, `stream=${facts.tv}&t=${iso(at)}`);
  await until("local", async () => (await clock(page)).slice(0, 5) === shownTime(at, "Asia/Kolkata").slice(0, 5));
  ok((await page.locator(".timecode-lines").innerText()).includes(`${shownTime(at, "UTC").slice(0, 5)}`), "UTC beside it");
  ok((await page.locator(".dates").innerText()).includes("UTC"), "and below the bar");
  await page.getByLabel("Time zone").selectOption("America/New_York");
  await until("another zone", async () => (await clock(page)).slice(0, 5) === shownTime(at, "America/New_York").slice(0, 5));
});

test("limiters: dragged, the dates under the bar follow", async ({ page, base, facts }) => {
  const span = facts.spans[facts.longGap + 1];
  await dvr(page, base, `stream=${facts.tv}&t=${iso(span.fromMs + M)}&start=${iso(span.fromMs)}&span=1200`);
  const bar = await page.locator(".bar-canvas").boundingBox();
  const drag = async (name, x) => {
    const box = await page.getByRole("slider", { name }).boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(bar.x + x, box.y + 40, { steps: 6 });
    await page.mouse.up();
  };
  await drag("Left limiter", 250);
  await until("the left one is in the address", () => parameter(page, "in"));
  const first = parameter(page, "out");
  await drag("Right limiter", 600);
  await until("and the right one", () => parameter(page, "out") !== first);
  const [from, to] = [momentOf(page, "in"), momentOf(page, "out")];
  const v = await view(page);
  near(from, v.startMs + 250 * v.msPerPx, v.msPerPx * 12, "the left limiter");
  near(to, v.startMs + 600 * v.msPerPx, v.msPerPx * 12, "the right limiter");
  equal((await page.getByTestId("date-from").innerText()).slice(11, 19), shownTime(from), "date under the left limiter");
  equal((await page.getByTestId("date-to").innerText()).slice(11, 19), shownTime(to), "date under the right limiter");
  // Grey, at the left and right of the bar.
  const grey = await page.locator(".limiter-from").evaluate((e) => getComputedStyle(e).backgroundColor + getComputedStyle(e.querySelector(".grip")).backgroundColor);
  const colours = [...grey.matchAll(/rgba?\((\d+), (\d+), (\d+)/g)].map((m) => m.slice(1).map(Number));
  ok(colours.some((c) => Math.max(...c) - Math.min(...c) < 40), `the limiters are grey: ${grey}`);
  await page.getByRole("button", { name: "Clear" }).click();
  await until("nothing is selected", () => parameter(page, "in") === null);
});

test("the bar stays where the address put it, and turns the page when the playhead runs off it", async ({ page, base, facts }) => {
  const at = facts.spans[facts.longGap + 1].fromMs + 5 * M;
  await dvr(page, base, `stream=${facts.tv}&t=${iso(at + 58_800)}&start=${iso(at)}&span=60`);
  await playing(page);
  near((await view(page)).startMs, at, 100, "the playhead stood at the end of the bar already");
  await dvr(page, base, `stream=${facts.tv}&t=${iso(at + 56_000)}&start=${iso(at)}&span=60`);
  await until("the page is turned", async () => (await view(page)).startMs > at + 10_000, 30_000);
});

test("a picture is shown under the pointer", async ({ page, base, facts }) => {
  const span = facts.spans[facts.longGap + 1];
  await dvr(page, base, `stream=${facts.tv}&t=${iso(span.fromMs + 5 * M)}&start=${iso(span.fromMs)}&span=900`);
  const box = await page.locator(".bar-canvas").boundingBox();
  const v = await view(page);
  const x = Math.round((8 * M) / v.msPerPx);
  await page.mouse.move(box.x + x, box.y + 70);
  const hover = page.locator(".hover canvas");
  await until("the picture has content", () =>
    hover.evaluate((canvas) => {
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return new Set(Array.from({ length: canvas.width }, (_, at) => data.slice(at * 4, at * 4 + 3).join())).size > 1;
    }),
  );
  ok((await page.locator(".hover").innerText()).includes(shownTime(v.startMs + x * v.msPerPx).slice(0, 5)), "with its time");
  if (!facts.clock) return;
  const shown = await pictureMs(hover, facts);
  near(shown, v.startMs + x * v.msPerPx, 16_000, "the picture is of the moment under the pointer");
});

test("deep links: stream, time, zoom, selection; back and forward", async ({ page, base, facts }) => {
  const from = facts.spans[facts.longGap + 1].fromMs;
  await dvr(page, base, `stream=${facts.tv}&t=${iso(from + 5 * M)}&start=${iso(from)}&span=1800&in=${iso(from + 2 * M)}&out=${iso(from + 4 * M)}`);
  await playheadNear(page, from + 5 * M, 5000);
  await page.getByText("Selected: 2 min").waitFor();
  const v = await view(page);
  near(v.startMs, from, 1000, "the beginning of the bar");
  near(v.msPerPx * v.widthPx, 1_800_000, 1000, "its length");
  await page.keyboard.press("k");
  await clickAt(page, from + 8 * M);
  await playheadNear(page, from + 8 * M, 5000);
  await page.goBack();
  await playheadNear(page, from + 5 * M, 15_000);
  await page.goForward();
  await playheadNear(page, from + 8 * M, 15_000);
  await page.getByRole("link", { name: "Info" }).click();
  await page.getByRole("heading", { name: "Tracks" }).waitFor();
  await page.goBack();
  await page.locator(".bar-canvas").waitFor();
  ok(parameter(page, "in"), "the selection is in the address again");
  // The address is the whole state: somebody else sees the same.
  const address = page.url();
  await page.goto("about:blank");
  await page.goto(address);
  await page.getByText("Selected: 2 min").waitFor();
  await playheadNear(page, momentOf(page, "t"), 5000);
  ok((await video(page)).width >= 0, "with the picture");
});
