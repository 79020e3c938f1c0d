// Pictures for a pointer that wanders over the timeline. In: moments. Out: pictures, drawn to a canvas. One request at a
// time: what the pointer has left behind meanwhile is never asked for. The last pictures are kept.

import { playbackPath } from "../api/client.ts";

const KEPT = 150;

export class Pictures {
  readonly #name: string;
  readonly #format: () => "mp4" | "jpg";
  readonly #kept = new Map<number, ImageBitmap | null>();
  readonly #decoder = document.createElement("video");
  #wanted: number | null = null;
  #busy = false;
  #gone = false;
  /** Told when a picture has come. */
  onPicture: () => void = () => {};

  constructor(name: string, format: () => "mp4" | "jpg") {
    this.#name = name;
    this.#format = format;
    this.#decoder.muted = true;
    this.#decoder.preload = "auto";
    this.#decoder.playsInline = true;
  }

  /** The picture of this moment, if it is there; undefined: not yet; null: there is none. Asks for it. */
  at(ms: number, stepMs: number): ImageBitmap | null | undefined {
    const step = Math.max(1000, 1000 * 2 ** Math.round(Math.log2(stepMs / 1000)));
    const key = Math.floor(ms / step) * step + Math.floor(step / 2);
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
    this.#wanted = key;
    void this.#work();
    return undefined;
  }

  forget(): void {
    this.#wanted = null;
  }

  destroy(): void {
    this.#gone = true;
    this.#wanted = null;
    for (const picture of this.#kept.values()) picture?.close();
    this.#kept.clear();
    this.#decoder.removeAttribute("src");
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#wanted !== null && !this.#gone) {
      const key = this.#wanted;
      this.#wanted = null;
      let picture: ImageBitmap | null = null;
      try {
        picture = await this.#fetch(key);
      } catch {
        // No picture then: the time alone is shown.
      }
      if (this.#gone) {
        picture?.close();
        break;
      }
      this.#keep(key, picture);
      this.onPicture();
    }
    this.#busy = false;
  }

  #keep(key: number, picture: ImageBitmap | null): void {
    this.#kept.set(key, picture);
    const oldest = this.#kept.keys().next();
    if (this.#kept.size > KEPT && !oldest.done) {
      this.#kept.get(oldest.value)?.close();
      this.#kept.delete(oldest.value);
    }
  }

  async #fetch(ms: number): Promise<ImageBitmap | null> {
    const format = this.#format();
    const response = await fetch(`${playbackPath(this.#name)}/${ms}-preview.${format}`, { signal: AbortSignal.timeout(5000) });
    if (!response.ok) return null;
    const blob = await response.blob();
    return format === "jpg" ? createImageBitmap(blob) : pictureOf(this.#decoder, blob);
  }
}

/** One decoder at a time, however many pictures a screen wants at once. */
let turn: Promise<unknown> = Promise.resolve();

export function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = turn.then(work, work);
  turn = mine.catch(() => {});
  return mine;
}

/** The first picture of a video. */
export async function pictureOf(decoder: HTMLVideoElement, blob: Blob, width = 320): Promise<ImageBitmap> {
  const url = URL.createObjectURL(blob);
  try {
    await new Promise<void>((done, fail) => {
      const timer = setTimeout(() => fail(new Error("no picture in time")), 4000);
      decoder.onloadeddata = () => {
        clearTimeout(timer);
        done();
      };
      decoder.onerror = () => {
        clearTimeout(timer);
        fail(new Error("no picture"));
      };
      decoder.src = url;
    });
    const height = Math.max(1, Math.round((width * decoder.videoHeight) / Math.max(1, decoder.videoWidth)));
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await createImageBitmap(decoder, { resizeWidth: width, resizeHeight: height, resizeQuality: "medium" });
      } catch (error) {
        // Chromium tells of the picture a little before it can be drawn.
        if (attempt === 20) throw error;
        await new Promise((done) => setTimeout(done, 50));
      }
    }
  } finally {
    URL.revokeObjectURL(url);
  }
}
