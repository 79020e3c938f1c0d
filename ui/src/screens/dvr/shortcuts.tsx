import type { JSX } from "preact";
import { Dialog } from "../../components/basics.tsx";
import { SHORTCUTS } from "./keys.ts";

export function ShortcutsDialog({ onClose }: { onClose: () => void }): JSX.Element {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl class="shortcuts">
        {SHORTCUTS.map(([keys, what]) => (
          <>
            <dt>
              {keys.split(", ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </>
        ))}
        <dt>
          <kbd>Shift</kbd> drag
        </dt>
        <dd>Select a part of the timeline</dd>
        <dt>
          <kbd>Alt</kbd> drag
        </dt>
        <dd>Move a limiter without snapping</dd>
      </dl>
    </Dialog>
  );
}
