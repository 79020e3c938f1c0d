import { defineConfig } from "vite";

/** `npm run dev` sets this to the server (a real one, or the mock) that answers everything but the interface. */
const server = process.env.EVERTAPE_UI_SERVER ?? "http://127.0.0.1:8099";

export default defineConfig({
  base: "/ui/",
  build: {
    target: "es2022",
    // Nothing inline: the Content-Security-Policy allows scripts, styles and images as files only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    chunkSizeWarningLimit: 900,
  },
  server: {
    host: "127.0.0.1",
    proxy: { "^/(?!ui(/|$)|@|node_modules/)": { target: server, changeOrigin: false } },
  },
  test: { include: ["src/**/*.test.ts", "dev/**/*.test.mjs"], environment: "node" },
} as Parameters<typeof defineConfig>[0]);
