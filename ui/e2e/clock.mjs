// Reads the clock in the pictures of the tests' archive: black and white boxes, the number of the picture, and below them
// the same with every bit turned over (tests/ui/clip.rs). In: an element of the page, or a file. Out: UTC milliseconds,
// null where the boxes are not plainly black and white.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The moment of the picture that a `video`, or a canvas with a whole picture, shows now. */
export async function pictureMs(locator, { clock }) {
  const number = await locator.evaluate((source, bits) => {
    const width = source.videoWidth || source.width;
    const height = source.videoHeight || source.height;
    if (!width || !height) return null;
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    context.drawImage(source, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const luma = (x, y) => data[4 * (Math.floor(y) * width + Math.floor(x)) + 1];
    let found = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      const x = ((2 * bit + 1) * width) / (2 * bits);
      const upper = luma(x, height / 8);
      const lower = luma(x, (height * 3) / 8);
      if (Math.abs(upper - lower) < 80) return null;
      if (upper > lower) found += 2 ** bit;
    }
    return found;
  }, clock.bits);
  return number === null ? null : clock.zero_ms + number * clock.frame_ms;
}

/** The moments of all pictures of a file, in order. */
export async function momentsOf(file, { clock }) {
  const filter = `crop=iw:ih/2:0:0,scale=${clock.bits}:2:flags=area,format=gray`;
  const { stdout } = await run("ffmpeg", ["-v", "error", "-i", file, "-map", "0:v:0", "-vf", filter, "-fps_mode", "passthrough", "-f", "rawvideo", "-"], { encoding: "buffer", maxBuffer: 1 << 28 });
  const moments = [];
  for (let at = 0; at + 2 * clock.bits <= stdout.length; at += 2 * clock.bits) {
    let number = 0;
    for (let bit = 0; bit < clock.bits; bit += 1) if (stdout[at + bit] > stdout[at + clock.bits + bit]) number += 2 ** bit;
    moments.push(clock.zero_ms + number * clock.frame_ms);
  }
  return moments;
}

/** What ffprobe says of a file. */
export async function probe(file) {
  const { stdout } = await run("ffprobe", ["-v", "error", "-show_format", "-show_streams", "-of", "json", file]);
  return JSON.parse(stdout);
}

/** The picture that holds a moment. */
export const pictureAt = (ms, { clock }) => clock.zero_ms + Math.floor((ms - clock.zero_ms + 0.5) / clock.frame_ms) * clock.frame_ms;
