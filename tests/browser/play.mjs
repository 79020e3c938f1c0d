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
const html = '<!doctype html><meta charset="utf-8"><title>players</title><body></body>'
  + '<script src="/hls.js"></script><script src="/shaka.js"></script><script src="/page.js"></script>';

// Of another origin than the node's: so the players meet CORS as on a real site.
const server = createServer(async (request, response) => {
  const file = files[request.url];
  if (request.url === '/') {
    response.writeHead(200, { 'content-type': 'text/html' }).end(html);
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

async function run(one) {
  const page = await context.newPage();
  const requests = [];
  page.on('requestfailed', (r) => requests.push(`${r.failure()?.errorText} ${r.url()}`));
  page.on('response', (r) => { if (r.status() >= 400) requests.push(`${r.status()} ${r.url()}`); });
  try {
    await page.goto(site);
    const limit = one.steps.reduce((sum, s) => sum + s.seconds + 12, 20) * 1000;
    const notes = await Promise.race([
      page.evaluate((c) => window.playCase(c), one),
      new Promise((_, reject) => { setTimeout(() => reject(new Error('no end in time')), limit).unref(); }),
    ]);
    return { id: one.id, ...notes, requests };
  } catch (e) {
    return { id: one.id, fatal: [`page: ${e.message}`], warnings: [], steps: [], state: null, requests };
  } finally {
    await page.close().catch(() => {});
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
