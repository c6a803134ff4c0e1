// The graph with its controls, details and groups.

const EDGES_AT_FIRST = 300;

panel("graph", (host, data) => {
  const graph = indexGraph(data);
  const store = makeStore({
    keptNodes: graph.nodeOrder.length,
    keptEdges: Math.min(graph.edgeOrder.length, EDGES_AT_FIRST),
    pinned: null,
    hovered: null,
    matches: [],
    groups: rememberedGroups(graph),
    current: 0,
  });
  const main = make("div", { class: "canvas" });
  const picture = graphPicture(main, graph, store);
  main.append(graphLegend());
  host.append(
    graphControls(graph, store, picture),
    make("div", { class: "split" }, main, graphDetails(graph, store)),
    graphGroups(graph, store),
  );
});

function graphLegend() {
  const shapes = [
    ["unit", "unit"], ["embedding", "token"], ["logit", "logit"], ["head", "head"], ["error", "error"], ["bias", "bias"],
  ];
  const item = ([kind, name]) => make("li", {}, makeSvg("svg", { width: 16, height: 16, viewBox: "-8 -8 16 16", class: "shape" }, shapeOf(kind)), name);
  return make(
    "ul",
    { class: "legend" },
    make("li", { class: "supports" }, make("span", { class: "swatch supports" }), "supports the target"),
    make("li", { class: "opposes" }, make("span", { class: "swatch opposes" }), "works against it"),
    make("li", {}, "stronger colour: larger attribution; larger: more influence"),
    shapes.map(item),
    make("li", { class: "note" }, "drag to move, ctrl + wheel to zoom"),
  );
}

function shapeOf(kind) {
  if (kind === "embedding") return makeSvg("rect", { x: -5, y: -5, width: 10, height: 10 });
  if (kind === "logit") return makeSvg("path", { d: "M0 -7L7 0L0 7L-7 0Z" });
  if (kind === "head") return makeSvg("path", { d: "M0 -6.5L6 5L-6 5Z" });
  if (kind === "error") return makeSvg("path", { d: "M0 6.5L6 -5L-6 -5Z" });
  return makeSvg("circle", { r: kind === "bias" ? 4.5 : 5.5, class: kind === "bias" ? "hollow" : "" });
}
