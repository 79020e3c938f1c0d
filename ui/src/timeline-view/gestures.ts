// Fingers, mouse and wheel on the timeline, made into what they mean. In: pointer events of an element. Out: calls.
// Never: knows about time.

export interface Gestures {
  /** A click or tap that did not move. */
  onClick(x: number, y: number): void;
  /** May begin a drag of another kind; null: the drag pans. */
  onGrab(x: number, y: number, shift: boolean): { move(x: number): void; end(x: number, cancelled: boolean): void } | null;
  onPan(dx: number): void;
  /** The hand has let go while moving: so many pixels a second. */
  onFling(velocity: number): void;
  onZoom(factor: number, x: number): void;
  onEnd(): void;
  onHover(x: number | null, y: number): void;
}

const CLICK_PX = 4;

export function listen(element: HTMLElement, to: Gestures, signal: AbortSignal): void {
  const pointers = new Map<number, { x: number; y: number }>();
  let start: { x: number; y: number; id: number } | null = null;
  let moved = false;
  let grabbed: ReturnType<Gestures["onGrab"]> = null;
  let lastX = 0;
  let velocity = 0;
  let lastAt = 0;

  const local = (event: PointerEvent | WheelEvent): { x: number; y: number } => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const pinch = (): { x: number; size: number } | null => {
    const [a, b] = [...pointers.values()];
    return a && b ? { x: (a.x + b.x) / 2, size: Math.max(8, Math.hypot(a.x - b.x, a.y - b.y)) } : null;
  };
  const on = <K extends keyof HTMLElementEventMap>(type: K, take: (event: HTMLElementEventMap[K]) => void, options: AddEventListenerOptions = {}): void =>
    element.addEventListener(type, take, { ...options, signal });

  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = local(event);
    pointers.set(event.pointerId, at);
    element.setPointerCapture(event.pointerId);
    if (pointers.size === 1) {
      start = { ...at, id: event.pointerId };
      moved = false;
      velocity = 0;
      lastX = at.x;
      lastAt = event.timeStamp;
      grabbed = to.onGrab(at.x, at.y, event.shiftKey);
    } else {
      grabbed?.end(at.x, true);
      grabbed = null;
      moved = true;
    }
  });

  on("pointermove", (event) => {
    const at = local(event);
    if (!pointers.has(event.pointerId)) {
      if (event.pointerType !== "touch") to.onHover(at.x, at.y);
      return;
    }
    const before = pinch();
    pointers.set(event.pointerId, at);
    const after = pinch();
    if (before && after) {
      to.onPan(before.x - after.x);
      to.onZoom(after.size / before.size, after.x);
      return;
    }
    if (!start) return;
    if (!moved && Math.abs(at.x - start.x) < CLICK_PX) return;
    moved = true;
    const dx = at.x - lastX;
    const dt = Math.max(1, event.timeStamp - lastAt);
    velocity = 0.7 * velocity + 0.3 * ((-dx / dt) * 1000);
    lastX = at.x;
    lastAt = event.timeStamp;
    if (grabbed) grabbed.move(at.x);
    else to.onPan(-dx);
    to.onHover(event.pointerType === "touch" && !grabbed ? null : at.x, at.y);
  });

  const up = (event: PointerEvent, cancelled: boolean): void => {
    if (!pointers.delete(event.pointerId)) return;
    if (pointers.size > 0) {
      const rest = [...pointers.values()][0]!;
      lastX = rest.x;
      velocity = 0;
      return;
    }
    const at = local(event);
    if (grabbed) grabbed.end(at.x, cancelled || !moved);
    if (!moved && !cancelled && start) to.onClick(at.x, at.y);
    else if (!grabbed && !cancelled && event.timeStamp - lastAt < 60) to.onFling(velocity);
    grabbed = null;
    start = null;
    to.onEnd();
    if (event.pointerType === "touch") to.onHover(null, 0);
  };
  on("pointerup", (event) => up(event, false));
  on("pointercancel", (event) => up(event, true));
  on("pointerleave", () => to.onHover(null, 0));

  on(
    "wheel",
    (event) => {
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? element.clientWidth : 1;
      const dx = event.deltaX * unit;
      const dy = event.deltaY * unit;
      if (event.shiftKey || Math.abs(dx) > Math.abs(dy)) to.onPan(event.shiftKey && dx === 0 ? dy : dx);
      else {
        // A pinch on a touchpad comes as a wheel with ctrl, in smaller steps.
        const strength = event.ctrlKey ? 0.01 : 0.0018;
        to.onZoom(Math.exp(-Math.max(-240, Math.min(240, dy)) * strength), local(event).x);
      }
      to.onEnd();
    },
    { passive: false },
  );
}
