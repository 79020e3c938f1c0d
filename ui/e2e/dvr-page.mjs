// A stream's DVR tab as the tests use it. In: a page. Out: what it shows, and what is done to it.

import { until } from "./harness.mjs";

export const H = 3_600_000;
export const M = 60_000;
export const iso = (ms) => new Date(Math.round(ms)).toISOString();
export const RED = "208,55,63";
export const GREEN = "47,158,88";
export const BLUE = "31,107,255";

/** Opens the interface at an address, and waits until the bar and what is recorded are there. */
export async function dvr(page, base, query) {
  await page.goto(`${base}/ui/?${query}`);
  await settled(page);
}

/** Waits until the bar stands still and what is recorded has come. */
export async function settled(page) {
  let last = null;
  await until("the bar stands still", async () => {
    const now = await page.locator(".bar-canvas").evaluate((c) => (c.getAttribute("aria-busy") === "false" && c.dataset.startMs ? `${c.dataset.startMs} ${c.dataset.msPerPx}` : null));
    const still = now !== null && now === last;
    last = now;
    return still;
  });
}

/** Does something that moves the bar, and gives what it shows then. */
export async function moved(page, act) {
  const before = await view(page);
  await act();
  await until("the bar moves", async () => {
    const v = await view(page);
    return v.startMs !== before.startMs || v.msPerPx !== before.msPerPx;
  });
  await settled(page);
  return view(page);
}

/** What the bar shows, as the page tells it. */
export const view = (page) =>
  page.locator(".bar-canvas").evaluate((c) => (c.dataset.startMs ? { startMs: Number(c.dataset.startMs), msPerPx: Number(c.dataset.msPerPx), widthPx: c.clientWidth } : null));
export const middleOf = (v) => v.startMs + (v.msPerPx * v.widthPx) / 2;

/** The colour of the bar at a moment, in the middle of the band. */
export async function colourAt(page, ms, y = 76) {
  const v = await view(page);
  return page.locator(".bar-canvas").evaluate(
    (canvas, [x, top]) => {
      const dpr = canvas.width / canvas.clientWidth;
      return [...canvas.getContext("2d").getImageData(Math.floor(x * dpr), Math.floor(top * dpr), 1, 1).data.slice(0, 3)].join(",");
    },
    [(ms - v.startMs) / v.msPerPx, y],
  );
}

/** All colours of the band within some pixels of a moment. */
export async function coloursNear(page, ms, px = 2) {
  const v = await view(page);
  return page.locator(".bar-canvas").evaluate(
    (canvas, [x, reach]) => {
      const dpr = canvas.width / canvas.clientWidth;
      const left = Math.max(0, Math.floor((x - reach) * dpr));
      const { data } = canvas.getContext("2d").getImageData(left, Math.ceil(49 * dpr), Math.ceil((2 * reach + 1) * dpr), Math.floor(54 * dpr));
      const found = new Set();
      for (let i = 0; i < data.length; i += 4) found.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
      return [...found];
    },
    [(ms - v.startMs) / v.msPerPx, px],
  );
}

export async function clickAt(page, ms, y = 76) {
  const v = await view(page);
  await page.locator(".bar-canvas").click({ position: { x: (ms - v.startMs) / v.msPerPx, y } });
}

export const clock = (page) => page.locator(".clock").innerText();
export const video = (page) => page.locator("video").evaluate((v) => ({ time: v.currentTime, paused: v.paused, rate: v.playbackRate, ready: v.readyState, width: v.videoWidth, seeking: v.seeking }));

export const playing = (page, timeout) =>
  until(
    "the picture moves",
    async () => {
      const a = await video(page);
      await page.waitForTimeout(150);
      const b = await video(page);
      return !b.paused && b.time > a.time;
    },
    timeout,
  );

/** Paused, and the picture of that moment is on the screen. */
export const still = (page) =>
  until("the picture stands still", async () => {
    const v = await video(page);
    return v.paused && !v.seeking && v.ready >= 2;
  });

export const shownTime = (ms, zone = "Europe/Berlin") =>
  new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(ms);

/** The clock beside the buttons comes near a moment. */
export const playheadNear = (page, ms, tolerance) =>
  until(`the clock shows about ${shownTime(ms)}`, async () => {
    const seconds = (text) => text.split(":").map(Number).reduce((sum, part) => sum * 60 + part, 0);
    return Math.abs(seconds(await clock(page)) - seconds(shownTime(ms))) * 1000 <= tolerance;
  });

export const parameter = (page, name) => new URL(page.url()).searchParams.get(name);
export const momentOf = (page, name) => Date.parse(parameter(page, name));

export const api = (base, path) => `${base}/api/v1${path}`;
export const streamOf = async (base, name) => (await fetch(api(base, `/streams/${encodeURIComponent(name)}`))).json();
