// Dialogs that add, test and delete streams, and the form that the Settings tab shares with them.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, createStream, deleteStream, getStream, testSource, updateStream } from "../api/client.ts";
import type { SourceReport, Stream, StreamInput } from "../api/types.ts";
import { trackLabel } from "../player/codecs.ts";
import { dropStream, takeStream } from "../state/server.ts";
import { formatBytes, formatLength } from "../time/format.ts";
import { Dialog, Field, Notice } from "./basics.tsx";
import { checkForm, type FormErrors, type FormText, parseRetention, sourceError } from "./stream-form.ts";

export const sentence = (error: unknown): string => (error instanceof Error ? error.message : "Something went wrong.");

/** Tries the source and tells what was found. */
export function SourceTest({ source }: { source: string }): JSX.Element {
  const [report, setReport] = useState<{ source: string; report: SourceReport } | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const wrong = sourceError(source.trim());
  const test = async (): Promise<void> => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    setBusy(true);
    setError(null);
    setReport(null);
    try {
      setReport({ source, report: await testSource(source.trim(), abort.signal) });
    } catch (caught) {
      if (!abort.signal.aborted) setError(sentence(caught));
    }
    if (running.current === abort) setBusy(false);
  };
  const found = report && report.source === source ? report.report : null;
  return (
    <div class="source-test">
      <button type="button" onClick={() => void test()} disabled={busy || wrong !== null}>
        {busy ? "Testing…" : "Test the source"}
      </button>
      {error && <Notice kind="error">{error}</Notice>}
      {found && (
        <Notice kind={found.ok ? "good" : "error"}>
          <strong>{found.message}</strong> <span class="faint">({formatLength(found.took_ms)})</span>
          {found.tracks.length > 0 && (
            <ul>
              {found.tracks.map((track) => (
                <li key={track.id}>
                  <b>{track.id}</b> {trackLabel(track)}
                </li>
              ))}
            </ul>
          )}
          {found.uncarried.length > 0 && (
            <>
              <p>In the source, but not recorded:</p>
              <ul>
                {found.uncarried.map((u) => (
                  <li key={u.place + u.what}>
                    {u.what}
                    {u.language ? ` (${u.language})` : ""}, {u.place}
                  </li>
                ))}
              </ul>
            </>
          )}
        </Notice>
      )}
    </div>
  );
}

interface FormProps {
  text: FormText;
  errors: FormErrors;
  onChange: (text: FormText) => void;
  fixedName?: boolean;
  disabled?: boolean;
}

export function StreamFields({ text, errors, onChange, fixedName, disabled }: FormProps): JSX.Element {
  const set = (part: Partial<FormText>): void => onChange({ ...text, ...part });
  const kept = parseRetention(text.retention);
  const keptHint = kept === undefined ? "36h, 7d, 4w; empty: for ever." : kept === null ? "Kept for ever. Or a limit such as 36h, 7d, 4w." : `Kept for ${formatLength(kept * 1000)}, then deleted. Locked parts stay.`;
  return (
    <>
      <Field label="Name" error={errors.name ?? null} hint={fixedName ? "A stream keeps its name: it is part of every address." : "Part of every address: letters, digits, . _ ~ - and / between parts."}>
        {({ id, describedBy, invalid }) => (
          <input id={id} value={text.name} disabled={fixedName || disabled} aria-describedby={describedBy} aria-invalid={invalid} autocomplete="off" spellcheck={false} onInput={(e) => set({ name: e.currentTarget.value })} />
        )}
      </Field>
      <Field label="Source" error={errors.source ?? null} hint={text.source.includes("***") ? "The password is not shown. Where *** stays, it stays." : "HLS or MPEG-TS over http(s)://, MPEG-TS over udp:// or rtp://, file:, or demo:"}>
        {({ id, describedBy, invalid }) => (
          <input id={id} value={text.source} disabled={disabled} aria-describedby={describedBy} aria-invalid={invalid} autocomplete="off" spellcheck={false} inputMode="url" onInput={(e) => set({ source: e.currentTarget.value })} />
        )}
      </Field>
      {!disabled && <SourceTest source={text.source} />}
      <Field label="Keep recordings for" error={errors.retention ?? null} hint={keptHint}>
        {({ id, describedBy, invalid }) => (
          <input id={id} class="short" value={text.retention} disabled={disabled} placeholder="for ever" aria-describedby={describedBy} aria-invalid={invalid} autocomplete="off" onInput={(e) => set({ retention: e.currentTarget.value })} />
        )}
      </Field>
    </>
  );
}

export function AddStreamDialog({ onClose, onAdded }: { onClose: () => void; onAdded: (stream: Stream) => void }): JSX.Element {
  const [text, setText] = useState<FormText>({ name: "", source: "", retention: "7d" });
  const [paused, setPaused] = useState(false);
  const [errors, setErrors] = useState<FormErrors>({});
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const checked = checkForm(text, paused);
    setErrors(checked.errors);
    setError(null);
    if (!checked.input) return;
    setBusy(true);
    try {
      const stream = await createStream(checked.input);
      takeStream(stream);
      onAdded(stream);
    } catch (caught) {
      setError(sentence(caught));
      setBusy(false);
    }
  };
  return (
    <Dialog title="Add a stream" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <StreamFields
          text={text}
          errors={errors}
          onChange={(next) => {
            setText(next);
            if (Object.keys(errors).length > 0) setErrors(checkForm(next, paused).errors);
          }}
        />
        <label class="check">
          <input type="checkbox" checked={paused} onChange={(e) => setPaused(e.currentTarget.checked)} /> Add it paused
        </label>
        {error && <Notice kind="error">{error}</Notice>}
        <footer>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {busy ? "Adding…" : "Add the stream"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

export function DeleteStreamDialog({ stream, onClose, onDeleted }: { stream: Stream; onClose: () => void; onDeleted: () => void }): JSX.Element {
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const { etag } = await getStream(stream.name);
      await deleteStream(stream.name, etag);
      onDeleted();
      dropStream(stream.name);
    } catch (caught) {
      setError(sentence(caught));
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Delete “${stream.name}”?`} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <p>
          {stream.origin === "archive" ? "The stream leaves the list" : "Recording ends and the stream leaves the list"}
          {stream.stored_bytes > 0 ? `, and with it ${formatBytes(stream.stored_bytes)} of archive; locked parts stay until they are released` : ""}. This cannot be undone.
        </p>
        {error && <Notice kind="error">{error}</Notice>}
        <footer>
          <button type="button" onClick={onClose}>
            Keep it
          </button>
          <button type="submit" class="danger" disabled={busy}>
            {busy ? "Deleting…" : "Delete the stream"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

/** Pauses or resumes a stream, whatever else somebody may have changed of it meanwhile. */
export async function setPaused(name: string, paused: boolean): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const { stream, etag } = await getStream(name);
    const input: StreamInput = { name, source: stream.source, retention_seconds: stream.retention_seconds, paused };
    try {
      takeStream(await updateStream(input, etag));
      return;
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 412 && attempt < 3)) throw error;
    }
  }
}
