// A small runner for the browser tests: one after the other, each with a page of its own; a picture of those that fail.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { launch, open } from "./browser.mjs";

const tests = [];

/**
 * Registers a test. `options`: size, colours, zone, clock of the page; `expected`: problems that belong to it;
 * `needs: "server"`: what it checks, the mock does not have; `alone`: nothing else goes on meanwhile.
 */
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

/** Waits until the function gives something true; as long as a busy machine may need. `what`: words, or a function that gives them. */
export async function until(what, probe, timeout = 40_000) {
  const end = Date.now() + timeout;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`In vain waited for: ${typeof what === "function" ? what() : what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

let downloads = null;

/** A finished download as a file. */
export async function saved(download) {
  downloads ??= mkdtempSync(join(tmpdir(), "evertape-ui-"));
  const file = join(downloads, `${Date.now()}-${Math.random().toString(36).slice(2)}`);
  await download.saveAs(file);
  return file;
}

/** Tests at a time: waiting for pictures and events leaves a machine of two cores room. */
const LANES = 2;

/** Runs what is chosen; pictures of what fails go below `out`. Gives how many failed. */
export async function runAll(base, facts, { only = "", out = "target" } = {}) {
  const browser = await launch();
  const folder = resolve(out, "failures");
  let failed = 0;
  const named = tests.filter((t) => t.name.includes(only));
  const chosen = named.filter((t) => facts.control || t.options.needs !== "server");
  if (chosen.length === 0) throw new Error(`There is no test whose name holds “${only}”.`);
  const one = async ({ name, options, run }) => {
    const began = Date.now();
    const { page, context, problems } = await open(browser, base, options);
    try {
      await run({ page, context, base, facts, browser, out });
      const unexpected = problems.filter((p) => !options.expected?.test(p));
      if (unexpected.length) throw new Error(unexpected.join("\n"));
      console.log(`ok    ${name} (${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      mkdirSync(folder, { recursive: true });
      await page.screenshot({ path: `${folder}/${name.replace(/\W+/g, "-")}.png`, timeout: 5000 }).catch(() => {});
      console.log(`FAIL  ${name}\n      ${String(error?.stack ?? error).split("\n").slice(0, 6).join("\n      ")}\n      ${page.url()}\n      ${problems.join("\n      ")}`);
    }
    await context.close();
  };
  const together = chosen.filter((t) => !t.options.alone);
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (let next = together.shift(); next; next = together.shift()) await one(next);
    }),
  );
  for (const next of chosen.filter((t) => t.options.alone)) await one(next);
  await browser.close();
  if (downloads) rmSync(downloads, { recursive: true, force: true });
  const left = named.length - chosen.length;
  console.log(`${chosen.length - failed} of ${chosen.length} passed${left ? `; ${left} more are about a real server: cargo test --test ui` : ""}`);
  return failed;
}
