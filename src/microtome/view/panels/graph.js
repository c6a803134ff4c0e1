// The graph with its controls, details and groups.

const MOST_EDGES_AT_FIRST = 80;
const SHARE_AT_FIRST = 0.8; // of the influence that edges carry: a small graph needs fewer
const PIXELS_A_SLOT = 26; // as much height as a picture can use; a small graph gets no more

panel("graph", (host, data) => {
  const graph = indexGraph(data);
  const store = makeStore({
    keptNodes: graph.nodeOrder.length,
    keptEdges: edgesAtFirst(graph),
    pinned: null,
    hovered: null,
    matches: [],
    groups: rememberedGroups(graph),
    current: 0,
  });
  const main = make("div", { class: "canvas" });
  const picture = graphPicture(main, graph, store);
  main.append(graphLegend(graph));
  const split = make("div", { class: "split" }, main, graphDetails(graph, store));
  split.style.setProperty("--need", `${Math.ceil(graph.height * PIXELS_A_SLOT)}px`);
  host.append(
    graphControls(graph, store, picture),
    split,
    graphGroups(graph, store),
  );
});

/** The edges that carry most of the influence, as far as an eye can follow them. */
function edgesAtFirst({ edgeShare }) {
  return Math.min(edgeShare.findIndex((share) => share >= SHARE_AT_FIRST), MOST_EDGES_AT_FIRST);
}

function graphLegend({ nodes }) {
  const kinds = new Set(nodes.map((node) => node.kind));
  const shapes = [
    ["unit", "unit"], ["embedding", "token"], ["logit", "logit"], ["head", "head"], ["mlp", "MLP"], ["error", "error"], ["bias", "bias"],
  ].filter(([kind]) => kinds.has(kind));
  const item = ([kind, name]) => make("li", {}, makeSvg("svg", { width: 16, height: 16, viewBox: "-8 -8 16 16", class: "shape" }, shapeOf(kind)), name);
  return make(
    "ul",
    { class: "legend" },
    make("li", { class: "supports" }, make("span", { class: "swatch supports" }), "supports the target"),
    make("li", { class: "opposes" }, make("span", { class: "swatch opposes" }), "works against it"),
    make("li", {}, "stronger colour: larger attribution; larger or thicker: more influence; fainter: no edge of it is shown"),
    shapes.map(item),
    make("li", { class: "note" }, "drag to move, ctrl + wheel to zoom"),
  );
}

function shapeOf(kind) {
  if (kind === "embedding") return makeSvg("rect", { x: -5, y: -5, width: 10, height: 10 });
  if (kind === "logit") return makeSvg("path", { d: "M0 -7L7 0L0 7L-7 0Z" });
  if (kind === "head") return makeSvg("path", { d: "M0 -6.5L6 5L-6 5Z" });
  if (kind === "mlp") return makeSvg("path", { d: "M-6 -4L6 -4L6 4L-6 4Z" });
  if (kind === "error") return makeSvg("path", { d: "M0 6.5L6 -5L-6 -5Z" });
  return makeSvg("circle", { r: kind === "bias" ? 4.5 : 5.5, class: kind === "bias" ? "hollow" : "" });
}
