// Pictures of every screen, for people to look at: target/screenshots. node e2e/screenshots.mjs [--base URL]

import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { startMock } from "../dev/mock-server.mjs";
import { launch, open } from "./browser.mjs";

const at = process.argv.indexOf("--base");
const mock = at > 0 ? null : await startMock({ dist: resolve("dist") });
const base = at > 0 ? process.argv[at + 1] : mock.url;
const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : "";
const folder = resolve("target/screenshots");
mkdirSync(folder, { recursive: true });
const browser = await launch();

const iso = (ago) => new Date(Math.floor((Date.now() - ago) / 1000) * 1000).toISOString().replace(".000Z", "Z");
const H = 3_600_000;
const shots = [
  ["streams", "", async () => {}],
  ["streams-add", "", async (page) => {
    await page.getByRole("button", { name: "Add a stream" }).click();
    await page.getByLabel("Name", { exact: true }).fill("new/channel");
    await page.getByLabel("Source", { exact: true }).fill("https://origin.example.com/a.m3u8");
    await page.getByRole("button", { name: "Test the source" }).click();
    await page.getByText("Two tracks can be recorded").waitFor();
  }],
  ["dvr-live", "?stream=demo", async (page) => page.waitForTimeout(2500)],
  ["dvr-selection", `?stream=news&t=${iso(4.6 * H)}&in=${iso(4.7 * H)}&out=${iso(4.3 * H)}&start=${iso(5.2 * H)}&span=5400`, async (page) => {
    await page.waitForTimeout(2500);
    const box = await page.locator(".bar-canvas").boundingBox();
    if (box) await page.mouse.move(box.x + box.width * 0.7, box.y + 75);
    await page.waitForTimeout(900);
  }],
  ["dvr-month", `?stream=news&t=${iso(50 * H)}&start=${iso(31 * 24 * H)}&span=${32 * 86400}`, async (page) => page.waitForTimeout(3000)],
  ["dvr-year", `?stream=cctv/gate&start=${iso(410 * 24 * H)}&span=${420 * 86400}`, async (page) => page.waitForTimeout(3000)],
  ["dvr-gap", `?stream=demo&t=${iso(3.75 * H)}&start=${iso(6.2 * H)}&span=23400`, async (page) => page.waitForTimeout(2000)],
  ["dvr-codec", "?stream=sport/uhd-1", async (page) => page.waitForTimeout(1500)],
  ["dvr-empty", "?stream=empty", async (page) => page.waitForTimeout(800)],
  ["settings", "?stream=news&tab=settings", async (page) => page.waitForTimeout(500)],
  ["settings-file", "?stream=demo&tab=settings", async (page) => page.waitForTimeout(500)],
  ["info", "?stream=news&tab=info", async (page) => page.waitForTimeout(500)],
];
const kinds = [
  ["desktop", { width: 1440, height: 960 }],
  ["phone", { width: 390, height: 844, touch: true, scale: 2 }],
  ["dark", { width: 1440, height: 960, dark: true }],
];
for (const [kind, options] of kinds) {
  for (const [name, address, act] of shots) {
    if (only && !`${name}-${kind}`.includes(only)) continue;
    const { page, context, problems } = await open(browser, base, options);
    await page.goto(`${base}/ui/${address}`);
    await page.locator("#main h1").waitFor();
    await page.waitForTimeout(700);
    await act(page).catch((error) => problems.push(String(error)));
    await page.screenshot({ path: `${folder}/${name}-${kind}.png`, fullPage: kind === "phone" });
    if (problems.length) console.log(name, kind, problems);
    await context.close();
  }
}
await browser.close();
await mock?.close();
console.log(`Screenshots are in ${folder}`);
