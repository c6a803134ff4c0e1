// What the page's words mean, in a line each, shown where a word stands. The guide "Read a report" says the same.

const WORDS = new Map([
  ["candidates", "Units at a layer and a position that have any attribution to the target: what the graph's units were chosen from."],
  ["units", "Units chosen by the size of their attribution; all edges among them were computed."],
  ["drawn nodes", "What is left of them after pruning by influence, with the tokens and the target."],
  ["drawn edges", "Edges left after pruning by influence."],
  ["direct share of target", "How much of the target (with a counterfactual: of its change) the chosen units, the tokens and the biases write directly. Above 1, what was left out works against the target; below 0, these do."],
  ["largest imbalance", "A node's inputs, remainder and nonlinear term must sum to its value. This is the worst miss, relative to the size of the terms: rounding, if all is well."],
  ["replacement score", "Of the influence on the target, the share that comes from tokens and not from errors: from what no node stands for."],
  ["completeness score", "Of what nodes are given, each weighed by its influence, the share that is no error: no remainder, no nonlinear term, nothing that a dictionary does not reconstruct."],
  ["share at position 0", "Of the chosen units' attribution, the share at the first token. Models park attention there whatever the text says; a counterfactual with the same first token takes it out."],
  ["differing share", "Of all units at all positions, the share whose value differs between prompt and counterfactual."],
  ["value", "The unit's activation on the prompt."],
  ["value on the counterfactual", "The same unit's activation where the counterfactual stands instead."],
  ["on the counterfactual", "The same unit's activation where the counterfactual stands instead."],
  ["attribution to the target", "How far the unit is from its value on the counterfactual (without one: from its mean over neutral prompts), times the target's gradient. Positive supports the target."],
  ["attribution", "How far the unit is from its value on the counterfactual (without one: from its mean over neutral prompts), times the target's gradient. Positive supports the target."],
  ["influence", "The share of the target's inputs that passes through this node, over all paths. Paths share nodes, so these do not sum to 100%."],
  ["remainder", "What the node is given by everything that is not drawn. Where it is large, trust the edges less."],
  ["nonlinear term", "The part of the node's change that the frozen network, with attention and norms held as on the prompt, does not give. Where it is large, trust the edges less."],
  ["Promotes", "Tokens whose logits the node raises most: what it writes at its value on the prompt, through the final norm as it stood, onto the vocabulary."],
  ["promotes", "Tokens whose logits the node raises most: what it writes (against a counterfactual, the change of it) through the final norm as it stood, onto the vocabulary. Left out where no token moves by 0.1 logits: any direction moves some token a little."],
  ["Suppresses", "Tokens whose logits the node lowers most, read in the same way."],
  ["directly to the target", "What the node brings the target through residual connections and frozen attention alone, past no other unit."],
  ["suppresses", "Tokens whose logits the node lowers most, read in the same way."],
  ["heads", "Attention heads, as layer.head, that carried this edge from one position to another, with their parts of it."],
  ["stream", "The part of the edge that no head carried: it went straight up the residual stream."],
  ["faithfulness", "The share of the target's change that the circuit alone keeps."],
  ["completeness", "The share of the target's change that is left without the circuit."],
  ["interval", "Over prompts, by the bootstrap; none for a single prompt."],
  ["matched random null", "Random sets with as many units in each layer and position as the circuit."],
  ["change null", "The units that change most, whatever they do to the target."],
  ["p", "The share of draws at least as good as the circuit, the circuit counted in: 1 of 21 is the least that 20 draws can give."],
  ["advantage", "By how much the circuit is better than this null."],
]);

/** Attributes that explain a term; a term that is not in the list gets none. */
function explained(term) {
  return WORDS.has(term) ? { title: WORDS.get(term), class: "explained" } : {};
}
