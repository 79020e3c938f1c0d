// `npm run dev`: the interface with live reload. In front of a running server where EVERTAPE_UI_SERVER names one
// (EVERTAPE_UI_SERVER=http://127.0.0.1:8080 npm run dev), else in front of the mock.

import { createServer } from "vite";
import { startMock } from "./mock-server.mjs";

if (!process.env.EVERTAPE_UI_SERVER) {
  const mock = await startMock();
  process.env.EVERTAPE_UI_SERVER = mock.url;
}
const vite = await createServer({ server: { port: Number(process.env.PORT ?? 5173) } });
await vite.listen();
console.log(`In front of ${process.env.EVERTAPE_UI_SERVER}`);
vite.printUrls();
