// The keyboard of the DVR tab. In: key presses anywhere on the page but in fields. Out: calls to the controller.

import type { DvrController } from "./controller.ts";

export const SHORTCUTS: [string, string][] = [
  ["Space, K", "Play, pause"],
  ["L", "Play; again: twice as fast, up to 8"],
  ["J", "Play backwards; again: twice as fast"],
  ["← →", "One frame back, forward"],
  ["Shift ← →", "One second back, forward"],
  ["Ctrl ← →", "Ten seconds back, forward"],
  ["↑ ↓", "Previous, next beginning or end of a recording"],
  ["I, O", "Put the left, right limiter at the current time"],
  ["X", "Take the limiters away"],
  ["+ −", "Zoom in, out"],
  ["< >", "Move the timeline to earlier, later"],
  ["Home", "To the beginning of the archive"],
  ["End", "Back to live"],
  ["M", "Sound off, on"],
  ["S", "Save the picture as PNG"],
  ["F", "Full screen"],
  ["G", "To the date field"],
  ["?", "This list"],
];

const isField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

export function listenToKeys(controller: DvrController, help: () => void, signal: AbortSignal): void {
  addEventListener(
    "keydown",
    (event) => {
      if (event.defaultPrevented || event.altKey || event.metaKey || isField(event.target) || document.querySelector("dialog[open]")) return;
      const onControl = event.target instanceof HTMLElement && event.target.closest("button, a, summary, [role=tab]") !== null;
      // A button that has the focus is pressed by space and enter, as everywhere.
      if (onControl && (event.key === " " || event.key === "Enter")) return;
      if (onControl && event.target instanceof HTMLElement && event.target.closest("[role=tab]") && event.key.startsWith("Arrow")) return;
      if (event.ctrlKey && !event.key.startsWith("Arrow")) return;
      if (press(controller, event, help)) event.preventDefault();
    },
    { signal },
  );
}

function press(controller: DvrController, event: KeyboardEvent, help: () => void): boolean {
  const { player, timeline } = controller;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const direction = key === "ArrowLeft" ? -1 : 1;
  switch (key) {
    case " ":
    case "k":
      player.toggle();
      return true;
    case "l":
      player.shuttle(1);
      return true;
    case "j":
      player.shuttle(-1);
      return true;
    case "ArrowLeft":
    case "ArrowRight":
      if (event.ctrlKey) controller.seekBy(direction * 10_000);
      else controller.stepBy(direction * (event.shiftKey ? 1000 : controller.frameMs));
      return true;
    case "ArrowUp":
      void controller.jumpToEdge(-1);
      return true;
    case "ArrowDown":
      void controller.jumpToEdge(1);
      return true;
    case "i":
      controller.mark("from");
      return true;
    case "o":
      controller.mark("to");
      return true;
    case "x":
      controller.select(null);
      return true;
    case "+":
    case "=":
      timeline?.zoomBy(2);
      return true;
    case "-":
    case "_":
      timeline?.zoomBy(0.5);
      return true;
    case "<":
    case ",":
      timeline?.moveBy(-0.5);
      return true;
    case ">":
    case ".":
      timeline?.moveBy(0.5);
      return true;
    case "Home": {
      const first = controller.stream?.first_ms;
      if (first != null) {
        controller.seek(first);
        timeline?.reveal(first);
      }
      return true;
    }
    case "End":
      if (controller.isLive) controller.goLive();
      return true;
    case "m":
    case "s":
    case "f":
    case "g":
      document.querySelector<HTMLElement>(`[data-key="${key}"]`)?.[key === "g" ? "focus" : "click"]();
      return true;
    case "?":
      help();
      return true;
    default:
      return false;
  }
}
