// Frame times of the timeline with 30 days and 10,000 gaps, and the measurement behind "canvas, not SVG".
// node e2e/bench.mjs [--base URL] [--stream news] [--at UTC-ms]; npm run build first. Prints milliseconds.
// `make bench-ui` runs it in front of a real server (tests/ui/bench.rs); without --base it is the mock.

import { resolve } from "node:path";
import { startMock } from "../dev/mock-server.mjs";
import { launch, open } from "./browser.mjs";

const option = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] : fallback;
};
const mock = option("base") ? null : await startMock({ dist: resolve("dist") });
const base = option("base") ?? mock.url;
const browser = await launch();

/** Runs `step` once a frame and tells how long frames took: from one to the next, and how much of it was work. */
const measure = `async (step, frames) => {
  const gaps = [], work = [];
  const channel = new MessageChannel();
  let began = 0, last = 0;
  channel.port1.onmessage = () => work.push(performance.now() - began);
  await new Promise((done) => {
    let n = 0;
    const frame = () => {
      const now = performance.now();
      if (last) gaps.push(now - last);
      last = now;
      began = now;
      channel.port2.postMessage(0);
      step(n);
      if ((n += 1) < frames) requestAnimationFrame(frame);
      else done();
    };
    requestAnimationFrame(frame);
  });
  const tell = (list) => {
    const sorted = [...list].sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))].toFixed(1);
    return "median " + at(0.5) + "  95% " + at(0.95) + "  worst " + at(1);
  };
  return { frame: tell(gaps), work: tell(work) };
}`;

{
  const { page, context } = await open(browser, base, { width: 1440, height: 960 });
  const now = Date.now();
  await page.goto(`${base}/ui/?stream=${option("stream", "news")}&t=${new Date(Number(option("at", now - 50 * 3_600_000))).toISOString()}&start=${new Date(now - 31 * 86_400_000).toISOString()}&span=${32 * 86_400}`);
  await page.locator(".bar-canvas").waitFor();
  await page.waitForTimeout(4000);
  await page.keyboard.press("k");
  const run = (name, step, frames = 240) =>
    page.evaluate(`(${measure})(${step}, ${frames})`).then((r) => console.log(`${name.padEnd(34)} frame: ${r.frame}   work: ${r.work}`));
  const bar = `document.querySelector(".bar-canvas")`;
  await run("nothing moves", "() => {}");
  await run("pan, 30 days shown", `(n) => ${bar}.dispatchEvent(new WheelEvent("wheel", { deltaX: n % 120 < 60 ? 12 : -12, deltaY: 0, bubbles: true, cancelable: true }))`);
  await run("zoom from 30 days to seconds, back", `(n) => { const b = ${bar}.getBoundingClientRect(); ${bar}.dispatchEvent(new WheelEvent("wheel", { deltaY: n < 120 ? -60 : 60, clientX: b.left + b.width * 0.6, clientY: b.top + 60, bubbles: true, cancelable: true })); }`);
  await page.keyboard.press("k");
  await page.waitForTimeout(1500);
  await run("pan while playing", `(n) => ${bar}.dispatchEvent(new WheelEvent("wheel", { deltaX: n % 120 < 60 ? 12 : -12, deltaY: 0, bubbles: true, cancelable: true }))`);
  await context.close();
}

{
  // The same picture drawn in both ways: as many strips as a bar of 1300 pixels can have, and 150 ticks, all moving.
  const { page, context } = await open(browser, base, { width: 1440, height: 400 });
  await page.goto("about:blank");
  const draw = (kind) => `(() => {
    const strips = Array.from({ length: 1300 }, (_, i) => [i, 1 + (i * 7) % 3, ["#2f9e58", "#d0373f"][i % 2]]);
    document.body.replaceChildren();
    if (${JSON.stringify(kind)} === "canvas") {
      const canvas = document.createElement("canvas");
      canvas.width = 1300; canvas.height = 126;
      document.body.append(canvas);
      const c = canvas.getContext("2d", { alpha: false });
      return (n) => {
        c.fillStyle = "#fff"; c.fillRect(0, 0, 1300, 126);
        for (const [x, w, colour] of strips) { c.fillStyle = colour; c.fillRect((x + n) % 1300, 48, w, 56); }
        c.fillStyle = "#333"; c.font = "11px sans-serif";
        for (let i = 0; i < 150; i += 1) { c.fillRect((i * 9 + n) % 1300, 30, 1, 12); if (i % 10 === 0) c.fillText("12:" + (10 + i % 50), (i * 9 + n) % 1300, 30); }
      };
    }
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", 1300); svg.setAttribute("height", 126);
    const make = (name, attributes) => { const e = document.createElementNS("http://www.w3.org/2000/svg", name); for (const k in attributes) e.setAttribute(k, attributes[k]); svg.append(e); return e; };
    const rects = strips.map(([, w, fill]) => make("rect", { y: 48, width: w, height: 56, fill }));
    const ticks = Array.from({ length: 150 }, () => make("rect", { y: 30, width: 1, height: 12 }));
    const labels = Array.from({ length: 15 }, (_, i) => { const t = make("text", { y: 30, "font-size": 11 }); t.textContent = "12:" + (10 + i); return t; });
    document.body.append(svg);
    return (n) => {
      rects.forEach((r, i) => r.setAttribute("x", (strips[i][0] + n) % 1300));
      ticks.forEach((r, i) => r.setAttribute("x", (i * 9 + n) % 1300));
      labels.forEach((t, i) => t.setAttribute("x", (i * 90 + n) % 1300));
    };
  })()`;
  for (const kind of ["canvas", "svg"]) {
    const r = await page.evaluate(`(${measure})(${draw(kind)}, 240)`);
    console.log(`${`1300 strips as ${kind}`.padEnd(34)} frame: ${r.frame}   work: ${r.work}`);
  }
  await context.close();
}
await browser.close();
await mock?.close();
