// Drives Chromium for tests/players: reads `{"chromium", "together", "cases": [{"id", "player", "url", "steps"}]}`
// from standard input, prints one line of JSON for each case as it ends, and ends the browser.

import { createServer } from 'node:http';
import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';
import { chromium } from 'playwright-core';

const here = dirname(fileURLToPath(import.meta.url));
const files = {
  '/page.js': 'page.js',
  '/hls.js': 'node_modules/hls.js/dist/hls.js',
  '/shaka.js': 'node_modules/shaka-player/dist/shaka-player.compiled.js',
};
const siteHtml = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>players</title><body>';
const html = '<!doctype html><meta charset="utf-8"><title>player</title><body></body>'
  + '<script src="/hls.js"></script><script src="/shaka.js"></script><script src="/page.js"></script>';

// Of another origin than the node's: so the players meet CORS as on a real site.
const server = createServer(async (request, response) => {
  const file = files[request.url];
  if (request.url === '/' || request.url === '/player') {
    const body = request.url === '/' ? siteHtml : html;
    response.writeHead(200, { 'content-type': 'text/html' }).end(body);
  } else if (file) {
    response.writeHead(200, { 'content-type': 'text/javascript' }).end(await readFile(join(here, file)));
  } else {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const site = `http://127.0.0.1:${server.address().port}/`;

const { chromium: executablePath, together, cases } = JSON.parse(await text(process.stdin));
const profile = await mkdtemp(join(tmpdir(), 'evertape-chromium-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
    // Pages that are not in front play on all the same.
    '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows',
    '--disable-renderer-backgrounding',
  ],
});

// One page for all, each case in a frame of its own: a page that is not in front would show one picture a second.
const page = await context.newPage();
await page.goto(site);
const failures = new Map();
const failed = (request, what) => {
  const noted = failures.get(request.frame());
  // Players give up requests when they seek; and the browser's icon is nobody's.
  if (noted && !what.includes('ERR_ABORTED')) noted.push(`${what} ${request.url()}`);
};
page.on('requestfailed', (r) => failed(r, r.failure()?.errorText ?? 'failed'));
page.on('response', (r) => { if (r.status() >= 400) failed(r.request(), String(r.status())); });

async function run(one) {
  const requests = [];
  const name = `case${one.id}`;
  const url = one.url.replace('{delay}', () => String(Math.floor(Date.now() / 1000) - one.delayFrom));
  let frame = null;
  try {
    await page.evaluate((id) => {
      const element = document.createElement('iframe');
      Object.assign(element, { id, name: id, src: '/player', width: 340, height: 210 });
      document.body.append(element);
      return new Promise((resolve) => { element.onload = resolve; });
    }, name);
    frame = page.frame({ name });
    failures.set(frame, requests);
    const limit = one.steps.reduce((sum, s) => sum + s.seconds + 12, 20) * 1000;
    const notes = await Promise.race([
      frame.evaluate((c) => window.playCase(c), { ...one, url }),
      new Promise((_, reject) => { setTimeout(() => reject(new Error('no end in time')), limit).unref(); }),
    ]);
    return { id: one.id, url, ...notes, requests };
  } catch (e) {
    return { id: one.id, url, fatal: [`page: ${e.message}`], warnings: [], steps: [], state: null, requests };
  } finally {
    failures.delete(frame);
    await page.evaluate((id) => document.getElementById(id)?.remove(), name).catch(() => {});
  }
}

try {
  const queue = [...cases];
  const worker = async () => {
    for (let one = queue.shift(); one; one = queue.shift()) {
      console.log(JSON.stringify(await run(one)));
    }
  };
  await Promise.all(Array.from({ length: together }, worker));
} finally {
  await context.close();
  server.close();
  await rm(profile, { recursive: true, force: true });
}
