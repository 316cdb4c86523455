// What a mouse, fingers and keys do to the map.

const REACH = { mouse: 10, touch: 24 }; // pixels from a point, within which a pointer means it
const MOVED = 5; // pixels that a pointer moves in a tap, at most
const REST = 120; // milliseconds that a mouse rests on a point before its card is shown

/** @param {HTMLCanvasElement} canvas @param {Record<string, (...values: any[]) => any>} map */
const listen = (canvas, { moveBy, zoomBy, showAll, nearest, pin, preview }) => {
  const held = new Map(); // pointers that are down: where they are, and where they went down
  let resting = 0;
  const place = event => ({ left: event.offsetX, top: event.offsetY });
  const spread = () => {
    const [one, other] = [...held.values()];
    return { left: (one.left + other.left) / 2, top: (one.top + other.top) / 2,
      far: Math.hypot(one.left - other.left, one.top - other.top) };
  };
  const under = event => nearest(event.offsetX, event.offsetY, 1, REACH[event.pointerType] ?? REACH.touch)[0] ?? -1;

  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, { ...place(event), began: place(event), isTap: !held.size });
    canvas.classList.add("held");
    clearTimeout(resting);
  });
  canvas.addEventListener("pointermove", event => {
    const pointer = held.get(event.pointerId);
    if (!pointer) {
      const row = under(event);
      canvas.classList.toggle("over", row >= 0);
      clearTimeout(resting);
      if (event.pointerType === "mouse" && row >= 0) resting = setTimeout(() => preview(row), REST);
      return;
    }
    const before = { ...pointer }, pinch = held.size === 2 && spread();
    Object.assign(pointer, place(event));
    pointer.isTap &&= Math.hypot(pointer.left - pointer.began.left, pointer.top - pointer.began.top) <= MOVED;
    if (pinch) {
      for (const other of held.values()) other.isTap = false;
      const now = spread();
      zoomBy(now.far / Math.max(1, pinch.far), now.left, now.top);
      moveBy(now.left - pinch.left, now.top - pinch.top);
    } else if (held.size === 1 && !pointer.isTap) {
      moveBy(pointer.left - before.left, pointer.top - before.top);
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, event => {
      const pointer = held.get(/** @type {PointerEvent} */ (event).pointerId);
      held.delete(/** @type {PointerEvent} */ (event).pointerId);
      canvas.classList.toggle("held", held.size > 0);
      if (kind === "pointerup" && pointer?.isTap) pin(under(event));
    });
  }
  canvas.addEventListener("pointerleave", () => clearTimeout(resting));
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    zoomBy(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), event.offsetX, event.offsetY);
  }, { passive: false });

  const keys = {
    ArrowLeft: () => moveBy(60, 0), ArrowRight: () => moveBy(-60, 0), ArrowUp: () => moveBy(0, 60),
    ArrowDown: () => moveBy(0, -60), "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5),
    0: showAll, Enter: () => pin(nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, 1)[0] ?? -1),
  };
  canvas.addEventListener("keydown", event => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  addEventListener("keydown", event => event.key === "Escape" && pin(-1));
};
