// The list of streams, and adding, changing, pausing, deleting one.

import { equal, ok, test, until } from "./harness.mjs";

const row = (page, name) => page.locator("tr", { has: page.getByRole("link", { name, exact: true }) });

test("streams: every stream with state, reason, source, codecs, bitrate, depth, size", async ({ page, base }) => {
  await page.goto(`${base}/ui/`);
  const news = row(page, "news");
  await news.waitFor();
  const text = await news.innerText();
  for (const part of ["Recording", "udp://@239.1.1.1:1234", "H.264", "Mbit/s", "30 d", "TB"]) ok(text.includes(part), `“${part}” in ${text}`);
  ok((await row(page, "sport/uhd-1").innerText()).includes("connection refused"), "the reason is told");
  // What came from outside is text, never markup.
  ok((await row(page, "empty").innerText()).includes("<b>self signed</b> “Ünïcode”"), "the reason is text");
  ok((await row(page, "cctv/gate").innerText()).includes("<script>alert(1)</script>"), "the source is text");
  ok((await row(page, "demo").innerText()).toLowerCase().includes("configuration file"), "file-configured streams are shown as such");
  equal(await row(page, "demo").getByRole("button").count(), 0, "buttons of a file-configured stream");
});

test("streams: the last picture is shown", async ({ page, base }) => {
  await page.goto(`${base}/ui/`);
  await until("a picture", () => page.locator(".last-picture.there").count());
  const lit = await page.locator(".last-picture.there canvas").first().evaluate((canvas) => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(Array.from({ length: canvas.width }, (_, x) => data.slice(x * 4, x * 4 + 3).join())).size;
  });
  ok(lit > 5, "the picture has content");
});

test("streams: add with errors, a test of the source, and success; then change, pause, delete", async ({ page, base }) => {
  await page.goto(`${base}/ui/`);
  await page.getByRole("button", { name: "Add a stream" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill('b"ad <script> ñ');
  await dialog.getByRole("button", { name: "Add the stream" }).click();
  ok((await dialog.innerText()).includes("Letters, digits"), "the name is refused in words");
  await dialog.getByLabel("Name", { exact: true }).fill("sport/new-1");
  await dialog.getByLabel("Source", { exact: true }).fill("https://bad.example.com/a.m3u8");
  await dialog.getByRole("button", { name: "Test the source" }).click();
  await dialog.getByText("connection refused").waitFor();
  await dialog.getByLabel("Source", { exact: true }).fill("https://origin.example.com/a.m3u8?x=\"1\"&y='2'");
  await dialog.getByRole("button", { name: "Test the source" }).click();
  await dialog.getByText("Two tracks can be recorded.").waitFor();
  ok((await dialog.innerText()).includes("Teletext"), "what is not recorded is told");
  await dialog.getByRole("button", { name: "Add the stream" }).click();
  await page.getByRole("heading", { name: "sport/new-1" }).waitFor();
  ok(page.url().includes("stream=sport/new-1"), "its page is open");

  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByLabel("Keep recordings for").fill("2 weeks");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved.").waitFor();
  await page.getByRole("button", { name: "Pause recording" }).click();
  await page.locator(".stream-head").getByText("Paused").waitFor();
  await page.getByRole("button", { name: "Delete the stream…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete the stream" }).click();
  await page.getByRole("heading", { name: "Streams" }).waitFor();
  equal(await row(page, "sport/new-1").count(), 0, "rows of the deleted stream");
});

test("settings: a change by somebody else is not overwritten", async ({ page, base }) => {
  await page.goto(`${base}/ui/?stream=music&tab=settings`);
  await page.getByLabel("Keep recordings for").fill("3d");
  await until("the form is loaded", async () => (await page.getByLabel("Source", { exact: true }).inputValue()) !== "");
  await page.waitForTimeout(500);
  await page.getByLabel("Keep recordings for").fill("3d");
  await page.evaluate(async () => {
    await fetch("/api/v1/streams/music", { method: "PUT", headers: { "content-type": "application/json", "if-match": "*" }, body: JSON.stringify({ name: "music", source: "udp://@239.9.9.9:1", retention_seconds: 3600, paused: true }) });
  });
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Somebody else changed this stream").waitFor();
  await page.getByRole("button", { name: "Take theirs" }).click();
  equal(await page.getByLabel("Source", { exact: true }).inputValue(), "udp://@239.9.9.9:1", "their source");
});

test("the server goes away and comes back: the page says so and recovers", { expected: /./ }, async ({ page, base }) => {
  await page.goto(`${base}/ui/`);
  await row(page, "news").waitFor();
  await fetch(`${base}/dev/away`, { method: "POST", body: JSON.stringify({ ms: 3000 }) });
  await page.getByText("The server does not answer.").waitFor();
  await page.getByText("The server does not answer.").waitFor({ state: "detached", timeout: 20_000 });
  ok(await row(page, "news").count(), "the list is still there");
});

test("a clock that is wrong by hours is told, and the server's is used", async ({ page, base }) => {
  await fetch(`${base}/dev/clock`, { method: "POST", body: JSON.stringify({ offset_ms: 3 * 3_600_000 }) });
  try {
    await page.goto(`${base}/ui/?stream=music`);
    await page.getByText("clock is 3 h").waitFor();
  } finally {
    await fetch(`${base}/dev/clock`, { method: "POST", body: JSON.stringify({ offset_ms: 0 }) });
  }
});
