// What this browser can play of a stream. In: its tracks, and the browser's word on each codec. Out: which tracks to ask
// for, and a sentence on the others. Pure.

import type { Track } from "../api/types.ts";

export interface Playable {
  /** For `?tracks=`; null when all can be played. */
  tracks: string[] | null;
  /** Nothing of the picture can be played: why. */
  refusal: string | null;
  /** Some of the sound cannot be played: what. */
  remark: string | null;
}

export function playable(tracks: readonly Track[], supports: (type: string) => boolean): Playable {
  const can = (track: Track): boolean => supports(`${track.kind}/mp4; codecs="${track.codec}"`);
  const videos = tracks.filter((t) => t.kind === "video");
  const shown = tracks.filter(can);
  const silent = tracks.filter((t) => t.kind === "audio" && !can(t));
  if (tracks.length > 0 && shown.length === 0) {
    return { tracks: null, refusal: `This browser plays ${new Set(tracks.map((t) => t.codec)).size > 1 ? "neither" : "no"} ${names(tracks)}. ${ELSEWHERE}`, remark: null };
  }
  if (videos.length > 0 && !videos.some(can)) {
    return { tracks: null, refusal: `This browser cannot play ${names(videos)}, the picture of this stream. ${ELSEWHERE}`, remark: null };
  }
  if (shown.length === tracks.length) return { tracks: null, refusal: null, remark: null };
  const remark = silent.length > 0 ? `This browser cannot play ${names(silent)}: ${silent.length === 1 ? "that sound track is" : "those sound tracks are"} left out here. Exports hold them.` : null;
  return { tracks: shown.map((t) => t.id), refusal: null, remark };
}

const ELSEWHERE = "The recording itself is whole: export it, or open a player link from the Export panel.";

function names(tracks: readonly Track[]): string {
  const all = [...new Set(tracks.map((t) => `${t.codec_name} (${t.codec})`))];
  return all.length > 1 ? `${all.slice(0, -1).join(", ")} nor ${all[all.length - 1]}` : (all[0] ?? "");
}

/** `English, AAC 5.1`: a track in a list to choose from. */
export function trackLabel(track: Track): string {
  const parts: string[] = [];
  if (track.kind === "video") {
    if (track.width && track.height) parts.push(`${track.width}×${track.height}`);
    if (track.frame_rate_milli) parts.push(`${Number((track.frame_rate_milli / 1000).toFixed(3))} fps`);
  } else {
    if (track.language) parts.push(languageName(track.language));
    if (track.channels) parts.push(track.channels === 1 ? "mono" : track.channels === 2 ? "stereo" : track.channels === 6 ? "5.1" : `${track.channels} channels`);
  }
  return `${track.codec_name}${parts.length ? ` · ${parts.join(" · ")}` : ""}`;
}

export function languageName(code: string): string {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}
