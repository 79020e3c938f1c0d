// What the browser remembers for its user: zone, colours, volume. Kept in localStorage where that is allowed.

import { isZone } from "../time/zone.ts";
import { Store } from "./store.ts";

export interface Preferences {
  zone: string;
  theme: "auto" | "light" | "dark";
  volume: number;
  muted: boolean;
}

const KEY = "evertape";

export const localZone = (): string => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return zone && isZone(zone) ? zone : "UTC";
};

function load(): Preferences {
  const defaults: Preferences = { zone: localZone(), theme: "auto", volume: 1, muted: false };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>;
    return {
      zone: typeof kept.zone === "string" && isZone(kept.zone) ? kept.zone : defaults.zone,
      theme: kept.theme === "light" || kept.theme === "dark" ? kept.theme : "auto",
      volume: typeof kept.volume === "number" && kept.volume >= 0 && kept.volume <= 1 ? kept.volume : 1,
      muted: kept.muted === true,
    };
  } catch {
    return defaults;
  }
}

export const preferences = new Store<Preferences>(load());

export function startPreferences(): void {
  const apply = (p: Preferences): void => {
    if (p.theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = p.theme;
  };
  apply(preferences.value);
  preferences.subscribe((p) => {
    apply(p);
    try {
      localStorage.setItem(KEY, JSON.stringify(p));
    } catch {
      // A browser that keeps nothing forgets it with the page.
    }
  });
}
