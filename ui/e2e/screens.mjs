// Every screen, and how to get there: for axe, and for the screenshots.

import { iso, M, playing, settled, still } from "./dvr-page.mjs";

/** Ends what plays and what is drawn over pictures. */
export async function pause(page) {
  if ((await page.locator("dialog[open]").count()) === 0 && (await page.locator("video").count()) > 0) await page.evaluate(() => document.querySelector("video").pause());
}

export function screens(facts) {
  const span = facts.spans[facts.longGap + 1];
  const before = facts.spans[facts.longGap];
  const at = span.fromMs + 5 * M;
  const screen = (name, address, arrive = async () => {}) => ({
    name,
    open: async (page, base) => {
      await page.goto(`${base}/ui/${address}`);
      await page.locator("#main h1").waitFor();
      await arrive(page);
    },
  });
  const bar = async (page) => {
    await settled(page);
    await playing(page, 40_000);
  };
  return [
    screen("streams", "", async (page) => page.locator(".last-picture.there").first().waitFor()),
    screen("streams-add", "", async (page) => {
      await page.getByRole("button", { name: "Add a stream" }).click();
      await page.getByRole("button", { name: "Add the stream" }).click();
      await page.getByLabel("Source", { exact: true }).fill(facts.good.source);
      await page.getByRole("button", { name: "Test the source" }).click();
      await page.getByText(facts.good.says[0]).first().waitFor({ timeout: 40_000 });
    }),
    screen("streams-delete", "", async (page) => page.getByRole("button", { name: "Delete music" }).click()),
    screen("dvr-live", `?stream=${facts.live}`, bar),
    screen("dvr-selection", `?stream=${facts.tv}&t=${iso(at)}&in=${iso(at - 2 * M)}&out=${iso(at + 4 * M)}&start=${iso(span.fromMs - 3 * M)}&span=1200`, async (page) => {
      await bar(page);
      await page.getByText("Links to share").click();
      await page.getByRole("link", { name: "Export MP4" }).waitFor();
    }),
    screen("dvr-gap", `?stream=${facts.tv}&t=${iso((before.toMs + span.fromMs) / 2)}&start=${iso(before.fromMs - 10 * M)}&span=4800`, async (page) => page.getByText("The gap is").waitFor()),
    screen("dvr-days", `?stream=${facts.tv}&t=${iso(at)}&start=${iso(Date.now() - 4 * 86_400_000)}&span=${4.2 * 86_400}`, bar),
    screen("dvr-codec", `?stream=${facts.uhd}`, async (page) => {
      await page.getByRole("alert").first().waitFor();
      await settled(page);
    }),
    screen("dvr-empty", "?stream=empty", async (page) => page.getByRole("heading", { name: "Nothing is recorded yet" }).waitFor()),
    screen("shortcuts", `?stream=${facts.tv}&t=${iso(at)}`, async (page) => {
      await bar(page);
      await page.keyboard.press("k");
      await still(page);
      await page.keyboard.press("?");
      await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    }),
    screen("settings", "?stream=music&tab=settings", async (page) => page.getByRole("button", { name: "Pause recording" }).or(page.getByRole("button", { name: "Resume recording" })).waitFor()),
    screen("settings-file", `?stream=${facts.live}&tab=settings`, async (page) => page.getByText("This stream is set in the configuration file.").waitFor()),
    screen("api", "?page=api", async (page) => {
      await page.getByRole("heading", { name: "Operations" }).waitFor();
      await page.getByText("/api/v1/streams/{name}/ranges").click();
    }),
    screen("info", `?stream=${facts.tv}&tab=info`, async (page) => page.getByRole("heading", { name: "Tracks" }).waitFor()),
  ];
}
