// The list of streams, and adding, changing, pausing, deleting one.

import { equal, ok, test, until } from "./harness.mjs";
import { api, streamOf } from "./dvr-page.mjs";
import { away } from "./facts.mjs";

const row = (page, name) => page.locator("tr", { has: page.getByRole("link", { name, exact: true }) });
const put = (base, name, input) => fetch(api(base, `/streams/${encodeURIComponent(name)}`), { method: "PUT", headers: { "content-type": "application/json", "if-match": "*" }, body: JSON.stringify({ name, ...input }) });

test("streams: every stream with state, reason, source, codecs, bitrate, depth, size", async ({ page, base, facts }) => {
  await page.goto(`${base}/ui/`);
  for (const [name, parts] of facts.rows) {
    await row(page, name).waitFor();
    for (const part of parts) await until(`“${part}” in the row of ${name}`, async () => (await row(page, name).innerText()).includes(part));
  }
  ok((await page.locator(".page-head").innerText()).includes("Media"), "it stands under Media");
  ok((await row(page, facts.live).innerText()).toLowerCase().includes("configuration file"), "file-configured streams are shown as such");
  equal(await row(page, facts.live).getByRole("button").count(), 0, "buttons of a file-configured stream");
  equal(await page.locator("main script, main img").count(), 0, "what came from outside is text, never markup");
});

test("streams: the last picture is shown", async ({ page, base, facts }) => {
  await page.goto(`${base}/ui/`);
  const canvas = row(page, facts.tv).locator(".last-picture.there canvas");
  await canvas.waitFor({ timeout: 30_000 });
  const lit = await canvas.evaluate((c) => {
    const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    return new Set(Array.from({ length: c.width }, (_, x) => data.slice(x * 4, x * 4 + 3).join())).size;
  });
  ok(lit > 1, "the picture has content");
  if (!facts.clock) return;
  const { pictureMs } = await import("./clock.mjs");
  const end = facts.spans[facts.spans.length - 1].toMs;
  const shown = await pictureMs(canvas, facts);
  ok(shown > end - 20_000 && shown < end, "it is the newest");
});

test("streams: add with errors, a test of the source, and success; then change, pause, delete", async ({ page, base, facts }) => {
  await page.goto(`${base}/ui/`);
  await page.getByRole("button", { name: "Add a stream" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Add the stream" }).click();
  ok((await dialog.innerText()).includes("A stream needs a name."), "nothing is not added");
  for (const bad of ['b"ad <script> ñ', "übung", "a//b", "../x"]) {
    await dialog.getByLabel("Name", { exact: true }).fill(bad);
    await dialog.locator(".field-error").first().waitFor();
  }
  await dialog.getByLabel("Name", { exact: true }).fill("sport/new-1");
  await dialog.getByLabel("Source", { exact: true }).fill("javascript:alert(1)");
  ok((await dialog.innerText()).includes("cannot be recorded"), "a source that is none");
  await dialog.getByLabel("Source", { exact: true }).fill(facts.bad.source);
  await dialog.getByRole("button", { name: "Test the source" }).click();
  await dialog.getByText(facts.bad.says).waitFor({ timeout: 40_000 });
  await dialog.getByLabel("Source", { exact: true }).fill(facts.good.source);
  await dialog.getByRole("button", { name: "Test the source" }).click();
  for (const words of facts.good.says) await dialog.getByText(words).first().waitFor({ timeout: 40_000 });
  await dialog.getByRole("button", { name: "Add the stream" }).click();
  await page.getByRole("heading", { name: "sport/new-1" }).waitFor();
  ok(page.url().includes("stream=sport/new-1"), "its page is open");
  const head = page.locator(".stream-head");
  await head.getByText("Recording").waitFor({ timeout: 40_000 });
  if (facts.clock) await until("it is recorded within seconds", async () => (await streamOf(base, "sport/new-1")).live_edge_ms, 40_000);

  await page.getByRole("link", { name: "Settings" }).click();
  await until("the form is loaded", async () => (await page.getByLabel("Source", { exact: true }).inputValue()) === facts.good.source);
  await page.getByLabel("Keep recordings for").fill("2 weeks");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved.").waitFor();
  equal((await streamOf(base, "sport/new-1")).retention_seconds, 1_209_600, "retention");
  await page.getByRole("button", { name: "Pause recording" }).click();
  await head.getByText("Paused").waitFor();
  await page.getByRole("button", { name: "Resume recording" }).click();
  await head.getByText("Paused").waitFor({ state: "detached", timeout: 40_000 });
  await page.getByRole("button", { name: "Delete the stream…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete the stream" }).click();
  await page.getByRole("heading", { name: "Streams" }).waitFor();
  await until("it has left the list", async () => (await row(page, "sport/new-1").count()) === 0);
  equal((await fetch(api(base, "/streams/sport%2Fnew-1"))).status, 404, "the deleted stream");
});

test("a file-configured stream is shown as such, and not changed here", async ({ page, base, facts }) => {
  await page.goto(`${base}/ui/?stream=${facts.live}&tab=settings`);
  await page.getByText("This stream is set in the configuration file.").waitFor();
  ok(await page.getByLabel("Source", { exact: true }).isDisabled(), "its source is fixed");
  equal(await page.getByRole("button", { name: "Delete the stream…" }).count(), 0, "buttons to delete it");
});

test("settings: a change by somebody else is not overwritten", async ({ page, base }) => {
  await page.goto(`${base}/ui/?stream=music&tab=settings`);
  await until("the form is loaded", async () => (await page.getByLabel("Source", { exact: true }).inputValue()) !== "" && (await page.getByRole("button", { name: "Save" }).isDisabled()));
  await page.getByLabel("Keep recordings for").fill("3d");
  await put(base, "music", { source: "udp://@239.9.9.9:1", retention_seconds: 3600, paused: true });
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Somebody else changed this stream").waitFor();
  await page.getByRole("button", { name: "Take theirs" }).click();
  equal(await page.getByLabel("Source", { exact: true }).inputValue(), "udp://@239.9.9.9:1", "their source");
});

test("state comes by events: what others do shows without a reload", async ({ page, base }) => {
  await page.goto(`${base}/ui/`);
  await row(page, "music").waitFor();
  await page.evaluate(() => { window.stillHere = true; });
  const post = (input) => fetch(api(base, "/streams"), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(input) });
  equal((await post({ name: "from-outside", source: "udp://127.0.0.1:9", paused: true })).status, 201, "added by somebody else");
  await row(page, "from-outside").getByText("Paused").waitFor();
  await put(base, "from-outside", { source: "udp://127.0.0.1:9", retention_seconds: 7200, paused: false });
  await row(page, "from-outside").getByText("kept for 2 h").waitFor();
  await row(page, "from-outside").getByText("Paused").waitFor({ state: "detached" });
  await fetch(api(base, "/streams/from-outside"), { method: "DELETE", headers: { "if-match": "*" } });
  await row(page, "from-outside").waitFor({ state: "detached" });
  ok(await page.evaluate(() => window.stillHere), "the page was not loaded anew");
});

test("the server goes away and comes back: the page says so and recovers", { alone: true, expected: /./ }, async ({ page, base, facts }) => {
  await page.goto(`${base}/ui/`);
  await row(page, facts.tv).waitFor();
  const back = away(base, facts, 3000);
  await page.getByText("The server does not answer.").waitFor({ timeout: 30_000 });
  await back;
  await page.getByText("The server does not answer.").waitFor({ state: "detached", timeout: 60_000 });
  ok(await row(page, facts.tv).count(), "the list is still there");
  // Events come again, too.
  await put(base, "music", { source: "udp://@239.1.1.2:1234", retention_seconds: 10_800, paused: true });
  await row(page, "music").getByText("kept for 3 h").waitFor();
});

test("light and dark, as the system has it or as chosen", { dark: true }, async ({ page, base }) => {
  await page.goto(`${base}/ui/`);
  await page.getByRole("heading", { name: "Streams" }).waitFor();
  const brightness = () => page.evaluate(() => {
    const colours = [document.body, document.documentElement].map((e) => getComputedStyle(e).backgroundColor).filter((c) => c !== "rgba(0, 0, 0, 0)");
    return colours[0].match(/\d+/g).slice(0, 3).reduce((sum, n) => sum + Number(n), 0) / 3;
  });
  ok((await brightness()) < 80, "dark, as the system");
  const change = page.getByRole("button", { name: /Change$/ });
  await change.click();
  await until("light, as chosen", async () => (await brightness()) > 200);
  await page.reload();
  await until("still light", async () => (await brightness()) > 200);
  await change.click();
  await until("dark, as chosen", async () => (await brightness()) < 80);
});

test("an archive that nobody records any more is shown as such, and deleted", { needs: "server", alone: true }, async ({ page, base, facts }) => {
  const ranges = async () => (await (await fetch(api(base, `/streams/${facts.leftOver}/ranges?from_ms=0&to_ms=${Date.now()}`))).json()).ranges;
  ok((await ranges()).length > 0, "something is recorded");
  await page.goto(`${base}/ui/?stream=${facts.leftOver}&tab=settings`);
  await page.getByText("This stream is set nowhere any more").waitFor();
  equal(await page.getByRole("button", { name: "Save" }).count(), 0, "settings to save");
  await page.goto(`${base}/ui/`);
  await row(page, facts.leftOver).getByText("archive only").waitFor();
  await page.getByRole("button", { name: `Delete ${facts.leftOver}` }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete the stream" }).click();
  await row(page, facts.leftOver).waitFor({ state: "detached" });
  await until("the archive is gone", async () => (await ranges()).length === 0, 30_000);
});

test("the document of the API is shown, and linked", async ({ page, base, facts }) => {
  await page.goto(`${base}/ui/`);
  await page.getByRole("link", { name: "API", exact: true }).click();
  await page.getByRole("heading", { name: "Operations" }).waitFor();
  await page.getByText("/api/v1/streams/{name}/ranges").click();
  await page.getByText("resolution_ms").first().waitFor();
  await page.getByRole("link", { name: "RangeAnswer" }).first().click();
  await until("the shape is in sight", () => page.locator("#shape-RangeAnswer").evaluate((e) => e.getBoundingClientRect().top < innerHeight));
  await page.getByRole("link", { name: "Streams", exact: true }).click();
  await row(page, facts.live).waitFor();
  await page.goBack();
  await page.getByRole("heading", { name: "Operations" }).waitFor();
});
