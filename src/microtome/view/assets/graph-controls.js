// What stands above the graph: thresholds, search, zoom.

const STEPS = 1000;
const MOST_FOUND = 40;

/** Slider position → how many stay. Even steps on a log scale, so the strongest few are as easy to set as
 *  the many weak ones; the far end leaves none. */
function keptAt(position, count) {
  return position >= STEPS ? 0 : Math.ceil(count ** (1 - position / STEPS) - 1e-9);
}

function positionOf(kept, count) {
  if (kept <= 0) return STEPS;
  return count <= 1 ? 0 : Math.round(STEPS * (1 - Math.log(kept) / Math.log(count)));
}

function graphControls(graph, store, picture) {
  const bar = make("div", { class: "controls" });
  bar.append(
    threshold({
      name: "nodes",
      label: "Hide nodes of little influence",
      count: graph.nodeOrder.length,
      kept: () => store.get().keptNodes,
      set: (kept) => store.set({ keptNodes: kept }),
      words: (kept) => nodeWords(graph, kept),
      store,
    }),
    threshold({
      name: "edges",
      label: "Hide edges of little influence",
      count: graph.edgeOrder.length,
      kept: () => store.get().keptEdges,
      set: (kept) => store.set({ keptEdges: kept }),
      words: () => edgeWords(graph, store.get()),
      store,
    }),
    search(graph, store),
    make(
      "div",
      { class: "zoom", role: "group", "aria-label": "Zoom" },
      button("−", "Zoom out", () => zoom(picture, 1 / ZOOM_STEP)),
      button("Fit", "Show everything", () => fit(picture)),
      button("+", "Zoom in", () => zoom(picture, ZOOM_STEP)),
    ),
  );
  return bar;
}

function button(text, title, click, attributes = {}) {
  return make("button", { type: "button", title, on: { click }, ...attributes }, text);
}

function threshold({ name, label, count, kept, set, words, store }) {
  const slider = make("input", {
    type: "range", min: 0, max: STEPS, step: 1, id: `threshold-${name}`, value: positionOf(kept(), count), disabled: count === 0,
  });
  const output = make("output", { for: slider.id, id: `kept-${name}` });
  const say = () => {
    const text = words(kept());
    output.textContent = text;
    if (keptAt(Number(slider.value), count) !== kept()) slider.value = positionOf(kept(), count);
    slider.setAttribute("aria-valuetext", text);
  };
  slider.addEventListener("input", () => set(keptAt(Number(slider.value), count)));
  store.watch(say);
  say();
  return make("div", { class: "threshold" }, make("label", { for: slider.id }, label), slider, output);
}

function nodeWords(graph, kept) {
  const all = graph.nodes.length;
  const shown = kept + graph.anchors.length;
  const head = `${shown.toLocaleString("en")} of ${counted(all, "node")} shown`;
  if (kept === graph.nodeOrder.length) return `${head}: all`;
  if (kept === 0) return `${head}: tokens and logits only`;
  const least = short(graph.nodeOrder[kept - 1].influence, 3);
  return `${head}: influence ≥ ${least}, ${percent(graph.nodeShare[kept])} of all influence`;
}

function edgeWords(graph, { keptNodes, keptEdges }) {
  const shown = shownPart(graph, keptNodes, keptEdges).edges;
  const head = `${shown.length.toLocaleString("en")} of ${counted(graph.edges.length, "edge")} shown`;
  if (keptEdges === 0) return `${head}: none`;
  if (shown.length === graph.edges.length) return `${head}: all`;
  const part = shown.reduce((sum, edge) => sum + edge.influence, 0);
  return `${head}: ${percent(part / graph.totalInfluence)} of what edges carry`;
}

function search(graph, store) {
  const found = make("ul", { class: "found", id: "found", "aria-label": "Nodes found", hidden: true });
  const input = make("input", {
    type: "search", id: "search", placeholder: "node, token or id", autocomplete: "off", spellcheck: "false",
  });
  const status = make("output", { for: "search", class: "visually-hidden" });
  const look = () => {
    const matches = matching(graph, input.value);
    store.set({ matches: matches.slice(0, MOST_FOUND) });
    found.hidden = input.value.trim() === "";
    const more = matches.length - MOST_FOUND;
    found.replaceChildren(
      ...matches.slice(0, MOST_FOUND).map((node) => make("li", {}, nodeButton(node, store, close))),
      ...(more > 0 ? [make("li", { class: "note" }, `and ${counted(more, "more node")}`)] : []),
      ...(matches.length === 0 ? [make("li", { class: "note" }, "no node has that in its name, token or id")] : []),
    );
    status.textContent = found.hidden ? "" : `${counted(matches.length, "node")} found`;
  };
  const close = () => {
    found.hidden = true;
    store.set({ matches: [] });
  };
  input.addEventListener("input", look);
  input.addEventListener("focus", look);
  const box = make("div", { class: "search" }, make("label", { for: "search" }, "Find a node"), input, status, found);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      close();
      input.focus();
    }
  });
  document.addEventListener("pointerdown", (event) => {
    if (!found.hidden && !box.contains(event.target)) close();
  });
  return box;
}

/** Nodes whose id, name or token holds the text, by influence; a blank also matches its mark ␣. */
function matching(graph, text) {
  const asked = text.toLowerCase();
  if (asked.trim() === "") return [];
  const forms = [asked, asked.replaceAll(" ", "␣")];
  const fits = (node) => [node.id, node.label, node.token].some((field) => forms.some((form) => field.toLowerCase().includes(form)));
  return [...graph.anchors, ...graph.nodeOrder].filter(fits);
}

/** A node as a button that pins it; if the thresholds hide it, they are lowered as far as it needs. */
function nodeButton(node, store, after = () => {}) {
  const content = [make("span", { class: "name" }, node.label), " ", tokenText(node.token)];
  const click = () => {
    pin(store, node);
    after();
  };
  return make("button", { type: "button", class: "node", "data-node": node.id, on: { click } }, content);
}

function pin(store, node) {
  const keptNodes = Math.max(store.get().keptNodes, node.rank + 1);
  store.set({ pinned: node, hovered: null, keptNodes });
}
