// The browser tests of the interface. node e2e/run.mjs [--base http://127.0.0.1:8080] [--only part-of-a-name] [--out folder]
// Without --base the built files (npm run build) are served by the mock. In front of a real server tests/ui runs them:
// EVERTAPE_UI_FACTS names a file that says what is recorded there. Below `out` are pictures: screenshots, failures.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { startMock } from "../dev/mock-server.mjs";
import { factsOf } from "./facts.mjs";
import { runAll } from "./harness.mjs";
import "./streams.mjs";
import "./timeline.mjs";
import "./playback.mjs";
import "./export.mjs";
import "./accessibility.mjs";

const option = (name) => {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] : undefined;
};
const given = option("base");
if (!given && !existsSync("dist/index.html")) throw new Error("There is no dist/: run npm run build first.");
const mock = given ? null : await startMock({ dist: resolve("dist") });
const base = given ?? mock.url;
const out = resolve(option("out") ?? "target");
const facts = await factsOf(base);
const failed = await runAll(base, facts, { only: option("only"), out });
await mock?.close();
process.exit(failed ? 1 : 0);
