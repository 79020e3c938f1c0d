// The browser tests of the interface. node e2e/run.mjs [--base http://127.0.0.1:8080] [--only part-of-a-name]
// Without --base the built files (npm run build) are served by the mock.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { startMock } from "../dev/mock-server.mjs";
import { runAll } from "./harness.mjs";
import "./streams.mjs";
import "./dvr.mjs";
import "./accessibility.mjs";

const option = (name) => {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] : undefined;
};
if (!option("base") && !existsSync("dist/index.html")) throw new Error("There is no dist/: run npm run build first.");
const mock = option("base") ? null : await startMock({ dist: resolve("dist") });
const failed = await runAll(option("base") ?? mock.url, option("only") ?? "");
await mock?.close();
process.exit(failed ? 1 : 0);
