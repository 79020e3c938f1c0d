// A value with listeners, and the hook that makes a component follow it.

import { useEffect, useState } from "preact/hooks";

export class Store<T> {
  #value: T;
  readonly #listeners = new Set<(value: T) => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of [...this.#listeners]) listener(value);
  }

  update(part: Partial<T>): void {
    const changed = (Object.keys(part) as (keyof T)[]).some((key) => !Object.is(this.#value[key], part[key]));
    if (changed) this.set({ ...this.#value, ...part });
  }

  subscribe(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** What `select` takes from the store; the component is drawn again only when that changes. */
export function useStore<T, S = T>(store: Store<T>, select: (value: T) => S = (value) => value as unknown as S): S {
  const [, redraw] = useState(0);
  const selected = select(store.value);
  useEffect(() => {
    let last = select(store.value);
    if (!Object.is(last, selected)) redraw((n) => n + 1);
    return store.subscribe((value) => {
      const next = select(value);
      if (Object.is(next, last)) return;
      last = next;
      redraw((n) => n + 1);
    });
  }, [store]);
  return selected;
}
