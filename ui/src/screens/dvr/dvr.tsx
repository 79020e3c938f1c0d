// A stream's DVR tab: player, timeline, export, locks.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Stream } from "../../api/types.ts";
import { ExportPanel } from "./export-panel.tsx";
import { listenToKeys } from "./keys.ts";
import { DvrController } from "./controller.ts";
import { LocksPanel } from "./locks-panel.tsx";
import { PlayerPanel } from "./player-panel.tsx";
import { ShortcutsDialog } from "./shortcuts.tsx";
import { TimelinePanel } from "./timeline-panel.tsx";
import type { TimelineParts } from "../../timeline-view/timeline-view.ts";

export function DvrTab({ stream }: { stream: Stream }): JSX.Element {
  const controller = useMemo(() => new DvrController(stream.name), [stream.name]);
  const video = useRef<HTMLVideoElement>(null);
  const parts = useRef<TimelineParts | null>(null);
  const [ready, setReady] = useState(false);
  const [help, setHelp] = useState(false);
  useEffect(() => {
    if (!video.current || !parts.current) return undefined;
    controller.start(video.current, parts.current);
    setReady(true);
    const abort = new AbortController();
    listenToKeys(controller, () => setHelp(true), abort.signal);
    return () => {
      abort.abort();
      setReady(false);
      controller.destroy();
    };
  }, [controller]);
  return (
    <div class="dvr">
      <PlayerPanel controller={controller} stream={stream} videoRef={video} ready={ready} onHelp={() => setHelp(true)} />
      <TimelinePanel controller={controller} partsRef={parts} ready={ready} />
      <aside class="side" aria-label="Export and locks">
        <ExportPanel controller={controller} stream={stream} />
        <LocksPanel controller={controller} />
      </aside>
      {help && <ShortcutsDialog onClose={() => setHelp(false)} />}
    </div>
  );
}
