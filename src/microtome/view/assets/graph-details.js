// The panel beside the graph: all that is known of the pinned node, or an overview where none is pinned.

const FIRST = 10; // inputs and outputs listed before "show all"
const MOST_HEADS = 4;
const NO_UNIT = "No unit is drawn: the units chosen carry too little of the target to pass the pruning. Trace with more.";

function graphDetails(graph, store) {
  const host = make("aside", { class: "details", "aria-live": "polite", "aria-label": "The pinned node" });
  let drawn;
  const draw = (state) => {
    if (state.pinned === drawn) return;
    drawn = state.pinned;
    const content = drawn === null ? overview(graph, store) : nodeDetails(graph, drawn, store);
    host.replaceChildren(...content.filter((part) => part !== null));
    host.scrollTop = 0;
  };
  store.watch(draw);
  draw(store.get());
  return host;
}

function overview(graph, store) {
  const strongest = graph.nodeOrder.slice(0, FIRST);
  const row = (node) =>
    make("li", {}, percentBar(node.influence, graph.largest.influence, node.attribution), nodeButton(node, store), percent(node.influence));
  return [
    make("h3", {}, "Overview"),
    make("p", { class: "hint" }, "Point at a node to see it, click to pin it here, shift-click to put it into a group."),
    definitions(graph.summary.map(([name, text]) => [name, text])),
    make("h4", {}, "Most influential nodes"),
    strongest.length > 0 ? make("ol", { class: "links" }, strongest.map(row)) : make("p", { class: "note" }, NO_UNIT),
  ];
}

function nodeDetails(graph, node, store) {
  return [
    make("h3", { class: "pinned", "data-node": node.id }, node.label),
    make("div", { class: "where" }, whereIs(node), " ", tokenText(node.token), make("span", { class: "id" }, node.id)),
    numbers(graph, node),
    make(
      "div",
      { class: "actions" },
      button("Add to group", "Also: shift-click on the node, or Enter on the graph", () => toggleMember(store, node, true), { class: "add" }),
      button("Let go", "Also: Escape on the graph", () => store.set({ pinned: null })),
    ),
    vocabulary(node),
    neighbours("Strongest inputs", node.inputs, (edge) => edge.source, store),
    neighbours("Strongest outputs", node.outputs, (edge) => edge.target, store),
  ];
}

function numbers(graph, node) {
  return definitions(
    [
      ["value", figure(node.value)],
      ["value on the counterfactual", graph.compared ? figure(node.counterfactual_value) : null],
      ["attribution to the target", figure(node.attribution, { signed: true })],
      ["directly to the target", node.kind === "logit" ? null : figure(node.direct, { signed: true })],
      ["influence", make("data", { value: String(node.influence) }, percent(node.influence))],
      ["remainder", figure(node.remainder, { signed: true })],
      ["nonlinear term", node.nonlinear === null ? null : figure(node.nonlinear, { signed: true })],
    ],
    { class: "numbers" },
  );
}

function vocabulary(node) {
  if (node.promotes.length + node.suppresses.length === 0) return null;
  const column = (title, pairs, name) =>
    make(
      "div",
      { class: name },
      make("h4", {}, make("span", explained(title), title)),
      make("ul", {}, pairs.map(([token, weight]) => make("li", {}, tokenText(token), " ", figure(weight, { signed: true, digits: 3 })))),
    );
  return make(
    "div",
    { class: "vocabulary" },
    column("Promotes", node.promotes, "promotes"),
    column("Suppresses", node.suppresses, "suppresses"),
  );
}

function neighbours(title, edges, other, store) {
  const list = make("ul", { class: "links" });
  const largest = edges.length > 0 ? Math.abs(edges[0].weight) : 1;
  const show = (from, to) => list.append(...edges.slice(from, to).map((edge) => edgeRow(edge, other(edge), largest, store)));
  show(0, FIRST);
  const all = button(`Show all ${edges.length.toLocaleString("en")}`, "", () => {
    show(FIRST, edges.length);
    all.remove();
  });
  const key = title.includes("inputs") ? "inputs" : "outputs";
  return make(
    "section",
    { class: key },
    make("h4", {}, title, make("span", { class: "count" }, ` ${edges.length.toLocaleString("en")}`)),
    edges.length > 0 ? list : make("p", { class: "note" }, "none among the chosen nodes"),
    edges.length > FIRST ? all : null,
  );
}

function edgeRow(edge, node, largest, store) {
  return make(
    "li",
    { class: "edge" },
    percentBar(Math.abs(edge.weight), largest, edge.weight),
    nodeButton(node, store),
    figure(edge.weight, { signed: true, digits: 3 }),
    make("span", { class: "via" }, ...carriers(edge).filter((part) => part !== null)),
  );
}

/** Who carried an edge: heads as layer.head, and the stream by itself. */
function carriers(edge) {
  const heads = edge.heads.slice(0, MOST_HEADS).flatMap(([layer, head, weight]) => [
    make("span", { class: "head" }, `${layer}.${head} `, figure(weight, { signed: true, digits: 2 })),
    " ",
  ]);
  const more = edge.heads.length - MOST_HEADS;
  return [
    edge.side === null ? null : `by its ${edge.side} `,
    ...(heads.length > 0 ? [make("span", explained("heads"), "heads"), " ", ...heads] : []),
    more > 0 ? `and ${more} more ` : null,
    !edge.residual ? null : make("span", { class: "stream" }, make("span", explained("stream"), "stream"), " ", figure(edge.residual, { signed: true, digits: 2 })),
  ];
}

function percentBar(amount, largest, sign) {
  const width = Math.max(2, 100 * Math.min(1, amount / largest));
  const bar = make("span", { class: `bar ${sign >= 0 ? "supports" : "opposes"}`, "aria-hidden": "true" });
  bar.style.setProperty("--width", `${width}%`);
  return bar;
}
