// axe on every screen, light and dark, desktop and phone; phone size without sideways scrolling. A picture of each, for
// people to look at, goes below `out`/screenshots.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { clickAt, dvr, iso, M, playheadNear, playing, settled } from "./dvr-page.mjs";
import { ok, test } from "./harness.mjs";
import { pause, screens } from "./screens.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const KINDS = [
  ["light", {}],
  ["dark", { dark: true }],
  ["phone", { width: 390, height: 844, touch: true, scale: 2 }],
];

for (const [kind, options] of KINDS) {
  test(`axe finds nothing: every screen, ${kind}`, { ...options, reducedMotion: "reduce" }, async ({ page, base, facts, out }) => {
    const folder = `${out}/screenshots`;
    mkdirSync(folder, { recursive: true });
    for (const screen of screens(facts)) {
      await screen.open(page, base);
      await page.screenshot({ path: `${folder}/${screen.name}-${kind}.png`, fullPage: kind === "phone" });
      // What moves would be found in the middle of it.
      await pause(page);
      // Not by a script tag: the Content-Security-Policy would block it, as it should.
      const violations = await page.evaluate(`(() => { ${axe}; return axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.target.join(" ") + " " + (n.any[0]?.message ?? n.all[0]?.message ?? "")).join("; "))); })()`);
      ok(violations.length === 0, `${screen.name}: ${violations.join("\n")}`);
      if (kind === "phone") {
        const wider = (await page.evaluate(() => document.documentElement.scrollWidth)) - 390;
        ok(wider <= 0, `${screen.name} is ${wider} px wider than the phone`);
      }
    }
  });
}

test("on a phone: a touch plays, the limiters go by touch, the export is reached", { width: 390, height: 844, touch: true }, async ({ page, base, facts, context }) => {
  const from = facts.spans[facts.longGap + 1].fromMs;
  await dvr(page, base, `stream=${facts.tv}&t=${iso(from + M)}&start=${iso(from)}&span=600`);
  await playing(page);
  await page.locator(".bar-canvas").scrollIntoViewIfNeeded();
  await clickAt(page, from + 6 * M);
  await playheadNear(page, from + 6 * M, 6000);
  await settled(page);
  const limiter = await page.getByRole("slider", { name: "Left limiter" }).boundingBox();
  const cdp = await context.newCDPSession(page);
  const touch = (type, x) => cdp.send("Input.dispatchTouchEvent", { type, touchPoints: x === null ? [] : [{ x, y: limiter.y + 50, id: 1 }] });
  const at = limiter.x + limiter.width / 2;
  await touch("touchStart", at);
  for (let n = 1; n <= 6; n += 1) await touch("touchMove", at + n * 15);
  await touch("touchEnd", null);
  await page.getByText("Selected:").waitFor();
  const link = page.getByRole("link", { name: "Export MP4" });
  await link.scrollIntoViewIfNeeded();
  const box = await link.boundingBox();
  ok(box.x >= 0 && box.x + box.width <= 390 && box.height >= 32, "the export can be touched");
});
