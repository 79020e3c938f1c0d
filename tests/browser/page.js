// Plays one URL in one of the players and notes every picture that is shown: the number read from its boxes, the
// media time, and the wall time that the player claims. Runs in the page; `play.mjs` calls `playCase`.

const BITS = 16;
const WIDTH = 320;
const HEIGHT = 192;

function numberOf(context, video) {
  context.drawImage(video, 0, 0, WIDTH, HEIGHT);
  const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
  const luma = (x, y) => data[4 * (y * WIDTH + x) + 1];
  let number = 0;
  for (let bit = 0; bit < BITS; bit += 1) {
    const x = Math.floor(((2 * bit + 1) * WIDTH) / (2 * BITS));
    const upper = luma(x, (HEIGHT * 3) / 8);
    const lower = luma(x, (HEIGHT * 5) / 8);
    if (Math.abs(upper - lower) < 90) return null;
    if (upper > lower) number += 2 ** bit;
  }
  return number;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// What both players look like to a case: load, claimed wall time, the media time of a wall time.
async function withHls(url, video, notes) {
  const hls = new Hls({ enableWorker: true, debug: false });
  hls.on(Hls.Events.ERROR, (_, data) => {
    const text = `${data.type}/${data.details}: ${data.error ? data.error.message : ''}`;
    (data.fatal ? notes.fatal : notes.warnings).push(text);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    utcMs: () => (hls.playingDate ? hls.playingDate.getTime() : null),
    mediaTime: (utcMs) => {
      const level = hls.levels[hls.currentLevel < 0 ? 0 : hls.currentLevel];
      const fragments = (level && level.details && level.details.fragments) || [];
      const found = fragments.find(
        (f) => f.programDateTime <= utcMs && utcMs < f.programDateTime + f.duration * 1000,
      );
      return found ? found.start + (utcMs - found.programDateTime) / 1000 : null;
    },
    end: () => hls.destroy(),
  };
}

async function withShaka(url, video, notes) {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  await player.attach(video);
  player.addEventListener('error', (event) => {
    const { severity, code, category, data } = event.detail;
    const text = `shaka ${category}/${code}: ${JSON.stringify(data).slice(0, 300)}`;
    (severity === shaka.util.Error.Severity.CRITICAL ? notes.fatal : notes.warnings).push(text);
  });
  await player.load(url);
  return {
    utcMs: () => {
      const date = player.getPlayheadTimeAsDate();
      return date ? date.getTime() : null;
    },
    mediaTime: (utcMs) => {
      const start = player.getPresentationStartTimeAsDate();
      return start ? (utcMs - start.getTime()) / 1000 : null;
    },
    end: () => player.destroy(),
  };
}

// { player, url, steps: [{ seekUtcMs?, seekMedia?, untilNumber?, seconds }] }
window.playCase = async ({ player, url, steps }) => {
  const video = document.createElement('video');
  video.muted = true;
  video.width = WIDTH;
  video.height = HEIGHT;
  document.body.replaceChildren(video);
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const notes = { fatal: [], warnings: [], steps: [] };
  video.addEventListener('error', () => notes.fatal.push(`video element: ${video.error && video.error.message}`));
  let samples = [];
  let media = null;
  const picture = (_, frame) => {
    // A canvas is drawn from what is shown now, which may already be the next picture: pair it with its own time.
    const number = numberOf(context, video);
    const claimed = media && media.utcMs();
    const utcMs = claimed === null || claimed === undefined ? null
      : claimed + (frame.mediaTime - video.currentTime) * 1000;
    samples.push([Math.round(frame.mediaTime * 1000), number, utcMs === null ? null : Math.round(utcMs)]);
    video.requestVideoFrameCallback(picture);
  };
  video.requestVideoFrameCallback(picture);
  try {
    media = await (player === 'hls.js' ? withHls : withShaka)(url, video, notes);
    await video.play().catch((e) => notes.warnings.push(`play: ${e.message}`));
    for (const step of steps) {
      const result = { samples: [], sought: null, at_ms: 0 };
      if (step.seekUtcMs !== undefined || step.seekMedia !== undefined) {
        const to = step.seekMedia ?? media.mediaTime(step.seekUtcMs);
        if (to === null) {
          notes.fatal.push(`nothing is listed at ${step.seekUtcMs}`);
          break;
        }
        const sought = new Promise((resolve) => video.addEventListener('seeked', resolve, { once: true }));
        video.currentTime = to;
        await Promise.race([sought, sleep(10000)]);
        result.sought = to;
      }
      // Pictures from before the step are none of its own.
      samples = [];
      result.at_ms = Date.now();
      const end = performance.now() + step.seconds * 1000;
      while (performance.now() < end && notes.fatal.length === 0) {
        await sleep(100);
        const last = samples.length ? samples[samples.length - 1][1] : null;
        if (step.untilNumber !== undefined && last !== null && last >= step.untilNumber) break;
        if (step.samples !== undefined && samples.length >= step.samples) break;
        if (video.ended) break;
      }
      result.samples = samples.slice();
      notes.steps.push(result);
      if (notes.fatal.length) break;
    }
  } catch (e) {
    notes.fatal.push(`${e.message || e} ${e.code || ''} ${JSON.stringify(e.data || '').slice(0, 300)}`);
  }
  const ranges = [];
  for (let i = 0; i < video.buffered.length; i += 1) ranges.push([video.buffered.start(i), video.buffered.end(i)]);
  notes.state = { currentTime: video.currentTime, buffered: ranges, readyState: video.readyState, ended: video.ended };
  if (media) await Promise.resolve(media.end()).catch(() => {});
  return notes;
};
