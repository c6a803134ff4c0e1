// The canvas: sizes, paints and listens. What is chosen lives in the store; this draws it and sets it.

const REACH = 9; // pixels around a node in which the pointer finds it

function graphPicture(host, graph, store) {
  const base = make("canvas", { class: "base" });
  const over = make("canvas", { class: "over" });
  const ring = make("div", { class: "ring", hidden: true });
  const tip = make("div", { class: "tip", role: "status", hidden: true });
  const stage = make(
    "div",
    {
      class: "stage",
      tabindex: "0",
      role: "application",
      "aria-label":
        "The graph. Arrow keys go from node to node, Enter adds to the group, Escape lets go, plus and minus zoom.",
    },
    base,
    over,
    ring,
    tip,
  );
  host.append(stage);
  const camera = makeCamera(graph);
  const pens = { base: base.getContext("2d"), over: over.getContext("2d") };
  const picture = { stage, tip, camera, shown: shownPart(graph, 0, 0), scene: null };

  function resize() {
    const { width, height } = stage.getBoundingClientRect();
    if (width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [base, over]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    const palette = paletteOf(stage);
    picture.scene = { graph, camera, palette, frame: frameFor(pens.base, graph, camera, palette, { width, height }) };
    paint();
  }

  function paint() {
    const { scene } = picture;
    if (scene === null) return;
    const state = store.get();
    scene.slot = camera.slot();
    picture.shown = shownPart(graph, state.keptNodes, state.keptEdges);
    const pen = pens.base;
    pen.globalAlpha = 1;
    pen.clearRect(0, 0, scene.frame.width, scene.frame.height);
    paintGrid(pen, graph, camera, scene.palette);
    clippedTo(pen, scene, () => paintGraph(pen, scene, picture.shown, state));
    paintLabels(pen, graph, camera, scene.palette, scene.frame);
    paintOver();
    placeRing(ring, picture, state.pinned);
  }

  function paintOver() {
    const { scene, shown } = picture;
    if (scene === null) return;
    const { hovered, matches } = store.get();
    pens.over.clearRect(0, 0, scene.frame.width, scene.frame.height);
    clippedTo(pens.over, scene, () => paintHover(pens.over, scene, shown, hovered, matches));
    showTip(picture, hovered);
  }

  let drawn = store.get();
  store.watch((state) => {
    const onlyHover = ["keptNodes", "keptEdges", "pinned", "groups"].every((key) => state[key] === drawn[key]);
    if (state.pinned !== drawn.pinned && state.pinned !== null && picture.scene) camera.reveal(state.pinned);
    drawn = state;
    if (onlyHover) paintOver();
    else paint();
  });
  new ResizeObserver(resize).observe(stage);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", resize);
  for (const event of ["beforeprint", "afterprint"]) window.addEventListener(event, resize);
  /** What keeps its place when a button or a key zooms: the pinned node, or else the middle. */
  picture.focus = () => {
    const { pinned } = store.get();
    const { left, right, top, bottom } = camera.frame;
    return pinned === null ? { x: (left + right) / 2, y: (top + bottom) / 2 } : camera.place(pinned);
  };
  picture.moved = () => requestAnimationFrame(paint);
  listenToPointer(picture, store);
  listenToKeys(picture, store);
  return picture;
}

function clippedTo(pen, { camera, frame }, draw) {
  const { left, top, bottom } = camera.frame;
  pen.save();
  pen.beginPath();
  pen.rect(left - 4, top - 8, frame.width - left + 4, bottom - top + 16);
  pen.clip();
  draw();
  pen.restore();
}

/** The node nearest to a point of the canvas, within reach. */
function nodeAt({ camera, shown }, x, y) {
  let nearest = null;
  let least = Math.max(REACH, camera.slot() / 2) ** 2;
  for (const node of shown.nodes) {
    const at = camera.place(node);
    const distance = (at.x - x) ** 2 + (at.y - y) ** 2;
    if (distance < least) [nearest, least] = [node, distance];
  }
  return nearest;
}

/** The mark around the pinned node is an element, so that it can glide and be found. */
function placeRing(ring, { camera, scene, shown }, pinned) {
  ring.hidden = pinned === null || !shown.nodes.has(pinned);
  if (ring.hidden) return;
  const { x, y } = camera.place(pinned);
  const radius = radiusOf(pinned, scene.graph, scene.slot) + 5;
  Object.assign(ring.style, {
    left: `${x - radius}px`,
    top: `${y - radius}px`,
    width: `${2 * radius}px`,
    height: `${2 * radius}px`,
  });
}

function showTip({ tip, camera, scene, shown }, hovered) {
  tip.hidden = hovered === null || !shown.nodes.has(hovered);
  if (tip.hidden) return;
  tip.replaceChildren(...tipContent(hovered, scene.graph.compared));
  const { x, y } = camera.place(hovered);
  const { width, height } = scene.frame;
  const flip = x > width / 2;
  Object.assign(tip.style, {
    left: flip ? "auto" : `${x + 14}px`,
    right: flip ? `${width - x + 14}px` : "auto",
    top: y < height / 2 ? `${y + 8}px` : "auto",
    bottom: y < height / 2 ? "auto" : `${height - y + 8}px`,
  });
}

function tipContent(node, compared) {
  const words = (pairs) => pairs.slice(0, 5).flatMap(([token]) => [tokenText(token), " "]);
  const rows = [
    ["value", figure(node.value)],
    ["on the counterfactual", compared ? figure(node.counterfactual_value) : null],
    ["attribution", figure(node.attribution, { signed: true })],
    ["influence", percent(node.influence)],
    ["promotes", node.promotes.length > 0 ? make("span", {}, words(node.promotes)) : null],
    ["suppresses", node.suppresses.length > 0 ? make("span", {}, words(node.suppresses)) : null],
  ];
  return [make("strong", {}, node.label), make("div", { class: "where" }, whereIs(node), " ", tokenText(node.token)), definitions(rows)];
}
