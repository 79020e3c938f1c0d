// A stream's Settings tab: source, retention, pause, delete.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, getStream, updateStream } from "../api/client.ts";
import type { Stream } from "../api/types.ts";
import { Notice } from "../components/basics.tsx";
import { DeleteStreamDialog, sentence, setPaused, StreamFields } from "../components/stream-dialogs.tsx";
import { checkForm, type FormErrors, type FormText, printRetention } from "../components/stream-form.ts";
import { go } from "../state/route.ts";
import { takeStream } from "../state/server.ts";

interface Loaded {
  stream: Stream;
  etag: string | null;
}

const textOf = (stream: Stream): FormText => ({ name: stream.name, source: stream.source, retention: printRetention(stream.retention_seconds) });

export function SettingsTab({ stream }: { stream: Stream }): JSX.Element {
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const [text, setText] = useState<FormText>(textOf(stream));
  const [errors, setErrors] = useState<FormErrors>({});
  const [error, setError] = useState<string | null>(null);
  const [conflict, setConflict] = useState<Loaded | null>(null);
  const [done, setDone] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const fixed = stream.origin !== "api";

  const load = async (shown: FormText): Promise<void> => {
    try {
      const fresh = await getStream(stream.name);
      setLoaded(fresh);
      // What was typed meanwhile stays.
      setText((now) => (now.source === shown.source && now.retention === shown.retention ? textOf(fresh.stream) : now));
      setConflict(null);
      setError(null);
    } catch (caught) {
      setError(sentence(caught));
    }
  };
  useEffect(() => {
    void load(text);
  }, [stream.name]);

  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    setDone(null);
    setError(null);
    const checked = checkForm(text, stream.paused);
    setErrors(checked.errors);
    if (!checked.input || !loaded) return;
    setBusy(true);
    try {
      takeStream(await updateStream(checked.input, loaded.etag));
      await load(text);
      setDone("Saved. Recorders take it up within seconds.");
    } catch (caught) {
      if (caught instanceof ApiError && caught.status === 412) setConflict(await getStream(stream.name).catch(() => null));
      else setError(sentence(caught));
    }
    setBusy(false);
  };
  const pause = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    setDone(null);
    try {
      await setPaused(stream.name, !stream.paused);
      const fresh = await getStream(stream.name);
      setLoaded((before) => (before ? fresh : before));
      setDone(stream.paused ? "Recording goes on." : "Paused: nothing is recorded until it is resumed.");
    } catch (caught) {
      setError(sentence(caught));
    }
    setBusy(false);
  };
  const changed = loaded !== null && (text.source !== loaded.stream.source || text.retention !== printRetention(loaded.stream.retention_seconds));

  return (
    <div class="tab-body narrow">
      {stream.origin === "archive" && <Notice kind="info">This stream is set nowhere any more: nothing is recorded, and what was recorded is kept until it is deleted here.</Notice>}
      {stream.origin === "file" && <Notice kind="info">This stream is set in the configuration file. It can be changed only there; the server reads it when it starts.</Notice>}
      {stream.origin !== "archive" && <form class="card" onSubmit={(event) => void save(event)} noValidate>
        <h2>Recording</h2>
        <StreamFields
          text={text}
          errors={errors}
          onChange={(next) => {
            setText(next);
            setDone(null);
          }}
          fixedName
          disabled={fixed}
        />
        {conflict && (
          <Notice kind="warning">
            <strong>Somebody else changed this stream meanwhile.</strong> Now it has the source “{conflict.stream.source}” and keeps recordings for {printRetention(conflict.stream.retention_seconds) || "ever"}.
            <div class="notice-actions">
              <button
                type="button"
                onClick={() => {
                  setLoaded(conflict);
                  setText(textOf(conflict.stream));
                  setConflict(null);
                }}
              >
                Take theirs
              </button>
              <button
                type="button"
                onClick={() => {
                  setLoaded(conflict);
                  setConflict(null);
                }}
              >
                Keep mine, to be saved
              </button>
            </div>
          </Notice>
        )}
        {error && <Notice kind="error">{error}</Notice>}
        {done && <Notice kind="good">{done}</Notice>}
        {!fixed && (
          <footer>
            <button type="submit" class="primary" disabled={busy || !changed}>
              Save
            </button>
          </footer>
        )}
      </form>}
      {!fixed && (
        <section class="card">
          <h2>{stream.paused ? "Paused" : "Pause"}</h2>
          <p>{stream.paused ? "Nothing is recorded. The archive can be played all the same." : "Recording stops until it is resumed; the time between is a gap in the archive."}</p>
          <button type="button" disabled={busy} onClick={() => void pause()}>
            {stream.paused ? "Resume recording" : "Pause recording"}
          </button>
        </section>
      )}
      {stream.origin !== "file" && (
        <section class="card">
          <h2>Delete</h2>
          <p>{stream.origin === "archive" ? "The archive is deleted." : "The stream and its archive are deleted."} Locked parts stay until they are released.</p>
          <button type="button" class="danger" onClick={() => setDeleting(true)}>
            Delete the stream…
          </button>
        </section>
      )}
      {deleting && <DeleteStreamDialog stream={stream} onClose={() => setDeleting(false)} onDeleted={() => go({})} />}
    </div>
  );
}
