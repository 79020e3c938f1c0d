// Locks: parts of the archive that retention must keep.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Lock } from "../../api/types.ts";
import { Notice } from "../../components/basics.tsx";
import { LockIcon } from "../../components/icons.tsx";
import { sentence } from "../../components/stream-dialogs.tsx";
import { preferences } from "../../state/preferences.ts";
import { useStore } from "../../state/store.ts";
import { formatLength, formatMoment } from "../../time/format.ts";
import type { DvrController } from "./controller.ts";

export function LocksPanel({ controller }: { controller: DvrController }): JSX.Element {
  const { locks, locksError, selection } = useStore(controller.state);
  const { zone } = useStore(preferences);
  const [title, setTitle] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [releasing, setReleasing] = useState<string | null>(null);
  const run = async (action: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      await action();
    } catch (caught) {
      setError(sentence(caught));
    }
    setBusy(false);
  };
  const create = (event: Event): void => {
    event.preventDefault();
    if (!selection) return;
    void run(async () => {
      await controller.lock(selection, title.trim() || "Locked");
      setTitle("");
    });
  };
  const show = (lock: Lock): void => controller.showSelection({ fromMs: lock.from_ms, toMs: lock.to_ms });
  return (
    <section class="card locks" aria-label="Locks">
      <h2>Locks</h2>
      {locks.length === 0 && !locksError && <p class="faint">Nothing is locked. A locked part is kept, however old it gets.</p>}
      {locksError && <Notice kind="error">{locksError}</Notice>}
      {locks.length > 0 && (
        <ul class="lock-list">
          {locks.map((lock) => (
            <li key={lock.id}>
              <button type="button" class="lock-show" onClick={() => show(lock)} title="Show it on the timeline">
                <LockIcon />
                <span>
                  <b>{lock.title}</b>
                  <span class="faint">
                    {formatMoment(lock.from_ms, zone)}, {formatLength(lock.to_ms - lock.from_ms)}
                  </span>
                </span>
              </button>
              {releasing === lock.id ? (
                <span class="lock-sure">
                  <button type="button" class="danger small" disabled={busy} onClick={() => void run(() => controller.release(lock)).then(() => setReleasing(null))}>
                    Release
                  </button>
                  <button type="button" class="small" onClick={() => setReleasing(null)}>
                    Keep
                  </button>
                </span>
              ) : (
                <button type="button" class="small" aria-label={`Release “${lock.title}”`} onClick={() => setReleasing(lock.id)}>
                  Release…
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
      {selection ? (
        <form class="lock-form" onSubmit={create}>
          <input value={title} maxLength={200} placeholder="Name of the lock" aria-label="Name of the lock" onInput={(e) => setTitle(e.currentTarget.value)} />
          <button type="submit" disabled={busy}>
            <LockIcon /> Lock selection
          </button>
        </form>
      ) : (
        <p class="hint">Select a part to lock it.</p>
      )}
      {error && <Notice kind="error">{error}</Notice>}
    </section>
  );
}
