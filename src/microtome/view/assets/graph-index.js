// The graph as the page uses it: neighbours of each node, and ranks by influence and by weight.

const ANCHORS = new Set(["embedding", "position", "logit"]);

/** Tokens and logits always stay in the picture; the rest is ranked by influence. */
function indexGraph(data) {
  const nodes = data.nodes.map((node, index) => ({ ...node, index, rank: -1, inputs: [], outputs: [] }));
  const edges = data.edges.map(([source, target, weight, residual, heads], index) => ({
    index, weight, residual, heads, source: nodes[source], target: nodes[target],
  }));
  const edgeOrder = [...edges].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  for (const edge of edgeOrder) {
    edge.target.inputs.push(edge);
    edge.source.outputs.push(edge);
  }
  const anchors = nodes.filter((node) => ANCHORS.has(node.kind));
  const nodeOrder = nodes
    .filter((node) => !ANCHORS.has(node.kind))
    .sort((a, b) => b.influence - a.influence || Math.abs(b.attribution) - Math.abs(a.attribution));
  nodeOrder.forEach((node, rank) => (node.rank = rank));
  return {
    ...data,
    nodes,
    edges,
    anchors,
    nodeOrder,
    edgeOrder,
    nodeShare: runningShare(nodeOrder.map((node) => node.influence)),
    totalWeight: Math.max(1e-12, edgeOrder.reduce((sum, edge) => sum + Math.abs(edge.weight), 0)),
    byId: new Map(nodes.map((node) => [node.id, node])),
    largest: {
      influence: Math.max(1e-12, ...nodeOrder.slice(0, 1).map((node) => node.influence)),
      attribution: nodes.reduce((most, node) => Math.max(most, Math.abs(node.attribution)), 1e-12),
      weight: Math.max(1e-12, ...edgeOrder.slice(0, 1).map((edge) => Math.abs(edge.weight))),
    },
  };
}

/** share[k] is what the first k hold of the whole. */
function runningShare(amounts) {
  const sums = [0];
  for (const amount of amounts) sums.push(sums[sums.length - 1] + amount);
  const whole = sums[sums.length - 1];
  return sums.map((sum) => (whole > 0 ? sum / whole : 1));
}

/** What is drawn when the strongest so many nodes and edges are kept. */
function shownPart(graph, keptNodes, keptEdges) {
  const nodes = new Set([...graph.anchors, ...graph.nodeOrder.slice(0, keptNodes)]);
  const strongest = graph.edgeOrder.slice(0, keptEdges);
  const edges = strongest.filter((edge) => nodes.has(edge.source) && nodes.has(edge.target));
  return { nodes, edges };
}

function whereIs(node) {
  const layer = node.layer === null || node.kind === "logit" ? null : `layer ${node.layer}`;
  const position = node.position === null ? "any position" : `position ${node.position}`;
  return [node.kind, layer, position].filter((part) => part !== null).join(" · ");
}
