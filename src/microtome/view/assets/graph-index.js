// The graph as the page uses it: neighbours of each node by weight, and ranks of nodes and edges by influence.

const ANCHORS = new Set(["embedding", "position", "logit"]);

/** Tokens and logits always stay in the picture; the rest is ranked by influence. */
function indexGraph(data) {
  const nodes = data.nodes.map((node, index) => ({ ...node, index, rank: -1, inputs: [], outputs: [] }));
  const edges = data.edges.map(([source, target, weight, residual, heads, side], index) => ({
    index, weight, residual, heads, side, source: nodes[source], target: nodes[target],
  }));
  for (const edge of [...edges].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))) {
    edge.target.inputs.push(edge);
    edge.source.outputs.push(edge);
  }
  for (const node of nodes) shareInfluence(node);
  const edgeOrder = [...edges].sort((a, b) => b.influence - a.influence);
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
    edgeShare: runningShare(edgeOrder.map((edge) => edge.influence)),
    totalInfluence: Math.max(1e-12, edgeOrder.reduce((sum, edge) => sum + edge.influence, 0)),
    byId: new Map(nodes.map((node) => [node.id, node])),
    largest: {
      influence: Math.max(1e-12, ...nodeOrder.slice(0, 1).map((node) => node.influence)),
      attribution: nodes.reduce((most, node) => Math.max(most, Math.abs(node.attribution)), 1e-12),
      edge: Math.max(1e-12, ...edgeOrder.slice(0, 1).map((edge) => edge.influence)),
    },
  };
}

/** A node's influence goes to its edges by their shares of all it is given, what is not drawn counted in. A bare
 *  weight would not do: units differ in scale, and what a unit of little influence is given matters little. */
function shareInfluence(node) {
  const undrawn = Math.abs(node.remainder) + Math.abs(node.nonlinear ?? 0);
  const given = node.inputs.reduce((sum, edge) => sum + Math.abs(edge.weight), undrawn);
  for (const edge of node.inputs) edge.influence = given > 0 ? (Math.max(0, node.influence) * Math.abs(edge.weight)) / given : 0;
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
