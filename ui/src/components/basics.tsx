// Small parts that every screen uses.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Stream, StreamState } from "../api/types.ts";
import { go, hrefOf, type Route } from "../state/route.ts";
import { CloseIcon, CopyIcon, DoneIcon } from "./icons.tsx";

/** A link within the interface: a real one, so that it opens in a new tab as well. */
export function Link({ to, children, class: name, current }: { to: Partial<Route>; children: ComponentChildren; class?: string; current?: boolean }): JSX.Element {
  return (
    <a
      href={hrefOf(to)}
      class={name}
      aria-current={current ? "page" : undefined}
      onClick={(event: MouseEvent) => {
        if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        go(to);
      }}
    >
      {children}
    </a>
  );
}

const STATE_WORDS: Record<StreamState, string> = {
  recording: "Recording",
  reconnecting: "Reconnecting",
  stopped: "Stopped",
  paused: "Paused",
  unknown: "Unknown",
};

export function StateBadge({ stream }: { stream: Pick<Stream, "state"> }): JSX.Element {
  return (
    <span class={`state state-${stream.state}`}>
      <span class="dot" aria-hidden="true" />
      {STATE_WORDS[stream.state] ?? "Unknown"}
    </span>
  );
}

/** Puts a text into the clipboard; where the browser refuses (no https), by way of a selection. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "off-screen";
    const owner = document.querySelector("dialog[open]") ?? document.body;
    owner.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** A link that is shown, selected by a click, and copied by a button. */
export function CopyField({ label, value, hint }: { label: string; value: string; hint?: string }): JSX.Element {
  const id = useId();
  const [state, setState] = useState<"" | "copied" | "failed">("");
  useEffect(() => {
    if (state === "") return undefined;
    const timer = setTimeout(() => setState(""), 2000);
    return () => clearTimeout(timer);
  }, [state]);
  return (
    <div class="copy-field">
      <label for={id}>{label}</label>
      <div class="copy-row">
        <input id={id} readOnly value={value} onFocus={(event) => event.currentTarget.select()} aria-describedby={hint ? `${id}-hint` : undefined} />
        <button type="button" class="icon-button" aria-label={`Copy: ${label}`} title="Copy" onClick={() => void copy(value).then((done) => setState(done ? "copied" : "failed"))}>
          {state === "copied" ? <DoneIcon /> : <CopyIcon />}
        </button>
      </div>
      {hint && (
        <small id={`${id}-hint`} class="hint">
          {hint}
        </small>
      )}
      <span class="visually-hidden" role="status">
        {state === "copied" ? "Copied" : state === "failed" ? "The browser did not allow copying" : ""}
      </span>
    </div>
  );
}

/** A modal dialog; Escape and the cross close it. */
export function Dialog({ title, onClose, children, wide }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    ref.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={wide ? "wide" : ""}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={onClose}>
          <CloseIcon />
        </button>
      </header>
      {children}
    </dialog>
  );
}

export function Notice({ kind, children }: { kind: "error" | "warning" | "info" | "good"; children: ComponentChildren }): JSX.Element {
  return (
    <div class={`notice notice-${kind}`} role={kind === "error" ? "alert" : "status"}>
      {children}
    </div>
  );
}

export function Field({ label, hint, error, children }: { label: string; hint?: ComponentChildren; error?: string | null; children: (ids: { id: string; describedBy: string | undefined; invalid: boolean }) => JSX.Element }): JSX.Element {
  const id = useId();
  const below = error ?? hint;
  return (
    <div class={`field ${error ? "wrong" : ""}`}>
      <label for={id}>{label}</label>
      {children({ id, describedBy: below ? `${id}-below` : undefined, invalid: Boolean(error) })}
      {below && (
        <small id={`${id}-below`} class={error ? "field-error" : "hint"}>
          {below}
        </small>
      )}
    </div>
  );
}
