// Pictures of every screen, for people to look at, below `out`/screenshots: on a desktop, on a phone, dark.
// node e2e/screenshots.mjs [--base URL] [--only words]

import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { startMock } from "../dev/mock-server.mjs";
import { launch, open } from "./browser.mjs";
import { factsOf } from "./facts.mjs";
import { screens } from "./screens.mjs";

const KINDS = [
  ["desktop", { width: 1440, height: 960 }],
  ["phone", { width: 390, height: 844, touch: true, scale: 2 }],
  ["dark", { width: 1440, height: 960, dark: true }],
];

export async function screenshots(base, facts, { out, only = "" }) {
  const folder = resolve(out, "screenshots");
  mkdirSync(folder, { recursive: true });
  const browser = await launch();
  for (const [kind, options] of KINDS) {
    const { page, context } = await open(browser, base, options);
    for (const screen of screens(facts)) {
      if (!`${screen.name}-${kind}`.includes(only)) continue;
      await screen.open(page, base);
      await page.screenshot({ path: `${folder}/${screen.name}-${kind}.png`, fullPage: kind === "phone" });
    }
    await context.close();
  }
  await browser.close();
  console.log(`Screenshots are in ${folder}`);
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const option = (name) => {
    const at = process.argv.indexOf(`--${name}`);
    return at > 0 ? process.argv[at + 1] : undefined;
  };
  const mock = option("base") ? null : await startMock({ dist: resolve("dist") });
  const base = option("base") ?? mock.url;
  await screenshots(base, await factsOf(base), { out: "target", only: option("only") });
  await mock?.close();
}
