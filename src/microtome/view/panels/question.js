// The head of the page: the verdict first, then what was asked.

const NO_COUNTERFACTUAL = "none: units are compared with their means over neutral prompts";

panel("question", (host, data) => {
  host.append(
    verdictBox(data.verdict),
    make(
      "div",
      { class: "asked" },
      ...(data.task === null ? promptRows(data) : [make("div", { class: "row" }, make("h3", {}, "Asked"), make("p", { class: "metric" }, data.task))]),
      make("div", { class: "row" }, make("h3", {}, "Target"), make("div", {}, targetInWords(data))),
      data.answers === null ? null : make("div", { class: "row" }, make("h3", {}, "The model's answers"), make("div", {}, answersOf(data.answers))),
    ),
  );
});

function verdictBox({ tested, holds, needed, words, level, nulls }) {
  const lost = nulls.filter((one) => !one.beaten);
  const state = !tested ? "untested" : !holds ? "fails" : lost.length > 0 ? "doubt" : "holds";
  const heads = {
    untested: ["○", "Not tested"],
    fails: ["✕", needed ? `Needed ${level}, but not enough` : `Not proven ${level}`],
    doubt: ["!", `Holds ${level}, but not against every null`],
    holds: ["✓", needed ? `Holds ${level}: enough, and needed` : `Holds ${level}: enough, not shown to be needed`],
  };
  const [sign, head] = heads[state];
  return make(
    "div",
    { class: `verdict ${state}`, "data-state": state },
    make("span", { class: "sign", "aria-hidden": "true" }, sign),
    make(
      "div",
      {},
      make("h2", {}, head.trim()),
      make("p", {}, words),
      nulls.length > 0 ? make("ul", {}, nulls.map((one) => make("li", { class: one.beaten ? "beaten" : "lost" }, one.words))) : null,
    ),
  );
}

function promptRows({ prompt, counterfactual, target_position: at }) {
  return [tokenRow("Prompt", prompt, counterfactual === null ? "" : "differs", at), comparedWith(counterfactual)];
}

function comparedWith(counterfactual) {
  if (counterfactual !== null) return tokenRow("Counterfactual", counterfactual, "differs", null);
  return make("div", { class: "row" }, make("h3", {}, "Counterfactual"), make("p", { class: "metric" }, NO_COUNTERFACTUAL));
}

function tokenRow(title, chips, differs, target) {
  const chip = ({ text, differs: other }, at) =>
    tokenText(text, {
      class: ["chip", other ? differs : "", at === target ? "target" : ""].filter(Boolean).join(" "),
      title: [`position ${at}`, other ? "differs" : "", at === target ? "the target is predicted here" : ""].filter(Boolean).join(", "),
    });
  return make("div", { class: "row" }, make("h3", {}, title), make("div", { class: "chips", dir: "ltr" }, chips.map(chip)));
}

function targetInWords({ target, against, value, counterfactual_value: other, target_position: at }) {
  const set = (tokens) => tokens.flatMap((token, index) => [index > 0 ? " or " : "", tokenText(token, { class: "chip" })]);
  const baseline = against.length > 0 ? ["logit of ", ...set(against)] : ["the mean logit"];
  return [
    make("p", { class: "metric" }, "logit of ", ...set(target), make("span", { class: "minus" }, " − "), ...baseline, at === null ? ", averaged over prompts" : `, at position ${at}`),
    make(
      "p",
      { class: "values" },
      make("span", { class: "big" }, figure(value, { signed: true })),
      at === null ? " on the prompts" : " on the prompt",
      ...(other === null ? [] : [make("span", { class: "big" }, figure(other, { signed: true })), " on the counterfactual"]),
    ),
  ];
}

function answersOf({ warning, sides }) {
  const row = ([token, probability, rank], name) =>
    make("li", { class: name }, make("span", { class: "rank" }, `${rank.toLocaleString("en")}.`), tokenText(token, { class: "chip" }), percent(probability));
  const side = ({ where, top, named }) => {
    const shown = new Set(top.map(([token]) => token));
    const asked = named.filter(([token]) => !shown.has(token));
    const names = new Set(named.map(([token]) => token));
    const rows = [...top.map((one) => row(one, names.has(one[0]) ? "named" : "")), ...asked.map((one) => row(one, "named"))];
    return make("div", {}, make("p", { class: "metric" }, where), make("ol", { class: "answers" }, rows));
  };
  return [warning === null ? null : make("p", { class: "warning" }, warning), make("div", { class: "sides" }, sides.map(side))].filter((part) => part !== null);
}
