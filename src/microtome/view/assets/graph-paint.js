// Paints the graph on a canvas. A canvas and not SVG: 10,000 edges are 10,000 elements there, and every
// step of a slider would restyle them all; here they are strokes, painted anew in one frame.

const TURN = 2 * Math.PI;
const MOST_NEIGHBOURS = 25; // edges painted on either side of a node that is asked about; the list beside has all
const COLOURS = ["supports", "opposes", "ink", "faint", "line", "band", "ground", "accent"];
const GROUP_COLOURS = ["group-1", "group-2", "group-3", "group-4", "group-5", "group-6"];

/** The theme's colours as the browser resolves them. */
function paletteOf(host) {
  const probe = make("span", { hidden: true });
  host.append(probe);
  const palette = {};
  for (const name of [...COLOURS, ...GROUP_COLOURS]) {
    probe.style.color = `var(--${name})`;
    palette[name] = getComputedStyle(probe).color;
  }
  palette.font = getComputedStyle(host).fontFamily;
  probe.remove();
  return palette;
}

function signColour(palette, number) {
  return number === 0 ? palette.faint : number > 0 ? palette.supports : palette.opposes;
}

function radiusOf(node, graph, slot) {
  const most = Math.min(Math.max(slot * 0.46, 2.2), 11);
  if (ANCHORS.has(node.kind)) return Math.max(most * 0.85, 5);
  return most * (0.45 + 0.55 * Math.sqrt(Math.max(0, node.influence) / graph.largest.influence));
}

/** Kinds differ in shape, so that no meaning hangs on colour alone. */
function traceShape(pen, kind, x, y, r) {
  pen.beginPath();
  if (kind === "embedding" || kind === "position") pen.rect(x - r * 0.88, y - r * 0.88, 1.76 * r, 1.76 * r);
  else if (kind === "logit") polygon(pen, [[x, y - 1.3 * r], [x + 1.3 * r, y], [x, y + 1.3 * r], [x - 1.3 * r, y]]);
  else if (kind === "head") polygon(pen, [[x, y - 1.2 * r], [x + 1.1 * r, y + 0.8 * r], [x - 1.1 * r, y + 0.8 * r]]);
  else if (kind === "mlp") polygon(pen, [[x - 1.1 * r, y - 0.7 * r], [x + 1.1 * r, y - 0.7 * r], [x + 1.1 * r, y + 0.7 * r], [x - 1.1 * r, y + 0.7 * r]]);
  else if (kind === "error") polygon(pen, [[x, y + 1.2 * r], [x + 1.1 * r, y - 0.8 * r], [x - 1.1 * r, y - 0.8 * r]]);
  else pen.arc(x, y, r, 0, TURN);
}

function polygon(pen, corners) {
  corners.forEach(([x, y], at) => (at === 0 ? pen.moveTo(x, y) : pen.lineTo(x, y)));
  pen.closePath();
}

function paintNode(pen, node, { graph, camera, palette, slot }, alpha) {
  const { x, y } = camera.place(node);
  const r = radiusOf(node, graph, slot);
  const strength = Math.sqrt(Math.abs(node.attribution) / graph.largest.attribution);
  traceShape(pen, node.kind, x, y, r);
  pen.globalAlpha = alpha;
  pen.fillStyle = palette.ground; // edges end at a node's rim, also where its colour is faint
  pen.fill();
  pen.globalAlpha = alpha * (0.25 + 0.75 * strength);
  pen.fillStyle = signColour(palette, node.attribution);
  if (node.kind !== "bias") pen.fill();
  pen.globalAlpha = alpha * 0.9;
  pen.lineWidth = node.kind === "bias" ? 1.6 : 0.8;
  pen.strokeStyle = pen.fillStyle;
  pen.stroke();
}

/** `strength` is from 0 to 1, `faintest` the opacity at 0. */
function paintEdge(pen, edge, { camera, palette }, { strength, faintest, alpha = 1 }) {
  const from = camera.place(edge.source);
  const to = camera.place(edge.target);
  const bend = (to.y - from.y) * 0.45;
  pen.globalAlpha = alpha * (faintest + (0.85 - faintest) * strength);
  pen.lineWidth = 0.8 + 3 * strength;
  pen.strokeStyle = signColour(palette, edge.weight);
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.bezierCurveTo(from.x, from.y + bend, to.x, to.y - bend, to.x, to.y);
  pen.stroke();
}

/** Everything but what the pointer is on. */
function paintGraph(pen, scene, shown, { pinned, groups }) {
  const near = pinned === null ? null : neighbourhood(pinned, shown);
  const faintest = Math.min(0.5, 6 / Math.sqrt(shown.edges.length + 1));
  for (let at = shown.edges.length - 1; at >= 0; at--) {
    const edge = shown.edges[at]; // strongest last, on top
    const strength = Math.sqrt(edge.influence / scene.graph.largest.edge);
    if (near === null) paintEdge(pen, edge, scene, { strength, faintest });
    else if (!near.edges.has(edge)) paintEdge(pen, edge, scene, { strength, faintest, alpha: 0.15 });
  }
  for (const node of shown.nodes) if (near !== null && !near.nodes.has(node)) paintNode(pen, node, scene, 0.4);
  if (near !== null) paintNeighbourhood(pen, scene, near);
  else paintByLinks(pen, scene, shown);
  groups.forEach((group, at) => {
    for (const node of group.nodes) {
      if (shown.nodes.has(node)) paintRim(pen, node, scene, scene.palette[GROUP_COLOURS[at % GROUP_COLOURS.length]]);
    }
  });
  pen.globalAlpha = 1;
}

/** Nodes that no shown edge touches stand back, so that the eye follows those that one does. */
function paintByLinks(pen, scene, { nodes, edges }) {
  const linked = new Set(edges.flatMap((edge) => [edge.source, edge.target]));
  const back = (node) => edges.length > 0 && !linked.has(node) && !ANCHORS.has(node.kind);
  for (const node of nodes) if (back(node)) paintNode(pen, node, scene, 0.4);
  for (const node of nodes) if (!back(node)) paintNode(pen, node, scene, 1);
}

function paintRim(pen, node, { graph, camera, slot }, colour) {
  const { x, y } = camera.place(node);
  traceShape(pen, node.kind, x, y, radiusOf(node, graph, slot) + 2);
  pen.globalAlpha = 1;
  pen.lineWidth = 2;
  pen.strokeStyle = colour;
  pen.stroke();
}

/** A node with its strongest edges to nodes in the picture, those below the threshold too: it was asked about. */
function neighbourhood(node, shown) {
  const among = (edges) => edges.filter((edge) => shown.nodes.has(edge.source) && shown.nodes.has(edge.target));
  const edges = [node.inputs, node.outputs].flatMap((side) => among(side).slice(0, MOST_NEIGHBOURS));
  edges.sort((a, b) => Math.abs(a.weight) - Math.abs(b.weight));
  return { edges: new Set(edges), nodes: new Set([node, ...edges.flatMap((e) => [e.source, e.target])]) };
}

/** Strengths within a neighbourhood are weights relative to its own largest: it is looked at by itself. */
function paintNeighbourhood(pen, scene, { edges, nodes }) {
  const largest = [...edges].reduce((most, edge) => Math.max(most, Math.abs(edge.weight)), 1e-12);
  for (const edge of edges) paintEdge(pen, edge, scene, { strength: Math.sqrt(Math.abs(edge.weight) / largest), faintest: 0.35 });
  for (const node of nodes) paintNode(pen, node, scene, 1);
}

/** Only the strongest edges of what the pointer is on, over a picture that stays as it is. */
function paintHover(pen, scene, shown, hovered, matches) {
  for (const node of matches) if (shown.nodes.has(node)) paintRim(pen, node, scene, scene.palette.accent);
  if (hovered === null || !shown.nodes.has(hovered)) return;
  paintNeighbourhood(pen, scene, neighbourhood(hovered, shown));
  paintRim(pen, hovered, scene, scene.palette.ink);
}
