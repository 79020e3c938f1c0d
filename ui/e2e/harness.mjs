// A small runner for the browser tests: one after the other, each with a page of its own; a picture of those that fail.

import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { launch, open } from "./browser.mjs";

const tests = [];

/** Registers a test. `options`: size, colours, zone of the page; `expected`: problems that belong to it. */
export function test(name, options, run) {
  tests.push(typeof options === "function" ? { name, options: {}, run: options } : { name, options, run });
}

export function equal(actual, expected, what) {
  if (!Object.is(actual, expected)) throw new Error(`${what}: ${JSON.stringify(expected)} was expected, ${JSON.stringify(actual)} found`);
}

export function near(actual, expected, tolerance, what) {
  if (!(Math.abs(actual - expected) <= tolerance)) throw new Error(`${what}: ${expected} ± ${tolerance} was expected, ${actual} found`);
}

export function ok(value, what) {
  if (!value) throw new Error(what);
}

/** Waits until the function gives something true. */
export async function until(what, probe, timeout = 15_000) {
  const end = Date.now() + timeout;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`In vain waited for: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

export async function runAll(base, filter = "") {
  const browser = await launch();
  const folder = resolve("target/failures");
  let failed = 0;
  const chosen = tests.filter((t) => t.name.includes(filter));
  for (const { name, options, run } of chosen) {
    const began = Date.now();
    const { page, context, problems } = await open(browser, base, options);
    try {
      await run({ page, context, base, browser });
      const unexpected = problems.filter((p) => !options.expected?.test(p));
      if (unexpected.length) throw new Error(unexpected.join("\n"));
      console.log(`ok    ${name} (${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      mkdirSync(folder, { recursive: true });
      await page.screenshot({ path: `${folder}/${name.replace(/\W+/g, "-")}.png`, timeout: 5000 }).catch(() => {});
      console.log(`FAIL  ${name}\n      ${String(error?.stack ?? error).split("\n").slice(0, 6).join("\n      ")}\n      ${problems.join("\n      ")}`);
    }
    await context.close();
  }
  await browser.close();
  console.log(`${chosen.length - failed} of ${chosen.length} passed`);
  return failed;
}
