// Starts Debian's Chromium for the tests. In: size, colours. Out: a page that notes each error and each request that
// leaves the server. Never: keeps a profile.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PATHS = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
];

export async function launch() {
  const executablePath = PATHS.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("No Chromium was found: apt-get install chromium, or set CHROMIUM to its path.");
  return chromium.launch({ executablePath, headless: true, args: FLAGS });
}

/** A page in a context of its own. `problems`: errors of scripts and of the Content-Security-Policy, foreign requests. */
export async function open(browser, base, { width = 1440, height = 960, dark = false, touch = false, zone = "Europe/Berlin", scale = 1, reducedMotion = "no-preference", clockOffsetMs = 0, withoutMse = false } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: dark ? "dark" : "light",
    hasTouch: touch,
    isMobile: touch,
    timezoneId: zone,
    deviceScaleFactor: scale,
    reducedMotion,
    acceptDownloads: true,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  // What the policy forbids is an error of the page, also where the browser says it nowhere else.
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} forbids ${event.blockedURI}`));
  });
  if (withoutMse) await context.addInitScript(() => {
    for (const name of ["MediaSource", "ManagedMediaSource", "WebKitMediaSource"]) delete globalThis[name];
  });
  if (clockOffsetMs) await context.addInitScript(wrongClock, clockOffsetMs);
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() === "error" && !/Failed to load resource|ERR_/.test(text)) problems.push(`console: ${text}`);
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !url.startsWith("blob:") && !url.startsWith("data:")) problems.push(`foreign request: ${url}`);
  });
  page.setDefaultTimeout(40_000);
  return { page, context, problems };
}

/** A computer whose clock is wrong by so much. */
function wrongClock(offsetMs) {
  const Right = Date;
  globalThis.Date = class extends Right {
    constructor(...parts) {
      if (parts.length === 0) super(Right.now() + offsetMs);
      else super(...parts);
    }
    static now() {
      return Right.now() + offsetMs;
    }
  };
}
