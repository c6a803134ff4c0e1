// Pointer and keyboard on the graph: hover, click, drag, zoom, and walking from node to node.

const DRAG = 4; // pixels before a press is a drag
const ZOOM_STEP = 1.35;
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function listenToPointer(picture, store) {
  const { stage, camera } = picture;
  let press = null;
  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const hover = (node) => {
    if (store.get().hovered !== node) store.set({ hovered: node });
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    press = { x: event.clientX, y: event.clientY, dragged: false };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (press === null) {
      hover(nodeAt(picture, ...at(event)));
      return;
    }
    const [dx, dy] = [event.clientX - press.x, event.clientY - press.y];
    if (!press.dragged && Math.hypot(dx, dy) < DRAG) return;
    press = { x: event.clientX, y: event.clientY, dragged: true };
    camera.panBy(dx, dy);
    picture.moved();
  });
  stage.addEventListener("pointerup", (event) => {
    if (press !== null && !press.dragged) choose(store, nodeAt(picture, ...at(event)), event.shiftKey);
    press = null;
  });
  stage.addEventListener("pointercancel", () => (press = null));
  stage.addEventListener("pointerleave", () => hover(null));
  stage.addEventListener("dblclick", (event) => zoom(picture, ZOOM_STEP ** 2, ...at(event)));
  stage.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the plain wheel scrolls the page
      event.preventDefault();
      zoom(picture, Math.exp(-event.deltaY / 300), ...at(event));
    },
    { passive: false },
  );
}

/** A click pins; with shift it puts into the current group, or takes out of it. */
function choose(store, node, shift) {
  if (node !== null && shift) toggleMember(store, node);
  else store.set({ pinned: node === store.get().pinned ? null : node, hovered: null });
}

function zoom(picture, factor, x, y) {
  const focus = picture.focus();
  picture.camera.zoomAt(x ?? focus.x, y ?? focus.y, factor);
  picture.stage.classList.toggle("zoomed", picture.camera.zoomed());
  picture.moved();
}

function fit(picture) {
  picture.camera.fit();
  picture.stage.classList.remove("zoomed");
  picture.moved();
}

function listenToKeys(picture, store) {
  picture.stage.addEventListener("keydown", (event) => {
    const { pinned } = store.get();
    if (event.key in DIRECTIONS) {
      const next = neighbourTowards(picture, pinned, DIRECTIONS[event.key]);
      if (next !== null) store.set({ pinned: next, hovered: null });
    } else if (event.key === "Escape") store.set({ pinned: null, hovered: null });
    else if (event.key === "Enter" && pinned !== null) toggleMember(store, pinned);
    else if (event.key === "+" || event.key === "=") zoom(picture, ZOOM_STEP);
    else if (event.key === "-") zoom(picture, 1 / ZOOM_STEP);
    else if (event.key === "0") fit(picture);
    else return;
    event.preventDefault();
  });
}

/** The nearest shown node in a direction; sideways distance counts double. From nothing: the first logit. */
function neighbourTowards({ camera, shown }, from, [dx, dy]) {
  if (from === null) return [...shown.nodes].find((node) => node.kind === "logit") ?? [...shown.nodes][0] ?? null;
  const start = camera.place(from);
  let nearest = null;
  let least = Infinity;
  for (const node of shown.nodes) {
    const at = camera.place(node);
    const along = (at.x - start.x) * dx + (at.y - start.y) * dy;
    const aside = Math.abs((at.x - start.x) * dy) + Math.abs((at.y - start.y) * dx);
    const cost = along + 2 * aside;
    if (node !== from && along > 0.5 && cost < least) [nearest, least] = [node, cost];
  }
  return nearest;
}
