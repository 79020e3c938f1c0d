// axe on every screen, light and dark, desktop and phone; phone size without sideways scrolling.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ok, test } from "./harness.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const H = 3_600_000;
const iso = (ms) => new Date(ms).toISOString();

const screens = [
  ["streams", () => "", async () => {}],
  ["add", () => "", async (page) => {
    await page.getByRole("button", { name: "Add a stream" }).click();
    await page.getByRole("button", { name: "Add the stream" }).click();
  }],
  ["dvr", () => `?stream=news&t=${iso(Date.now() - 4.5 * H)}&in=${iso(Date.now() - 4.7 * H)}&out=${iso(Date.now() - 4.3 * H)}`, async (page) => {
    await page.getByText("Links to share").click();
    await page.waitForTimeout(1200);
  }],
  ["gap", () => `?stream=demo&t=${iso(Date.now() - 3.75 * H)}`, async (page) => page.getByText("Nothing is recorded at").waitFor()],
  ["shortcuts", () => "?stream=music", async (page) => page.keyboard.press("?")],
  ["settings", () => "?stream=news&tab=settings", async () => {}],
  ["settings of the file", () => "?stream=demo&tab=settings", async () => {}],
  ["info", () => "?stream=news&tab=info", async () => {}],
  ["live", () => "?stream=demo", async (page) => page.waitForTimeout(1500)],
  ["empty", () => "?stream=empty", async () => {}],
];

for (const [kind, options] of [["light", {}], ["dark", { dark: true }], ["phone", { width: 390, height: 844, touch: true }]]) {
  for (const [name, address, act] of screens) {
    test(`axe: ${name}, ${kind}`, { ...options, reducedMotion: "reduce" }, async ({ page, base }) => {
      await page.goto(`${base}/ui/${address()}`);
      await page.locator("#main h1").waitFor();
      await page.waitForTimeout(500);
      await act(page);
      // Not by a script tag: the Content-Security-Policy would block it, as it should.
      const violations = await page.evaluate(`(() => { ${axe}; return axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.target.join(" ") + " " + (n.any[0]?.message ?? n.all[0]?.message ?? "")).join("; "))); })()`);
      ok(violations.length === 0, violations.join("\n"));
      if (kind === "phone") {
        const wider = (await page.evaluate(() => document.documentElement.scrollWidth)) - 390;
        ok(wider <= 0, `the page is ${wider} px wider than the phone`);
      }
    });
  }
}
