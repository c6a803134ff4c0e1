// The proof: two curves side by side, areas and the numbers behind them.

const SHARES =
  "f = 1: as with the whole model; f = 0: as with every unit replaced. Above 1, what was replaced worked against the target; " +
  "below 0, the target stands lower than with every unit replaced.";

panel("proof", (host, data) => {
  host.append(
    make("div", { class: "plots" }, data.curves.map(curveFigure)),
    make("p", { class: "note" }, SHARES),
    make(
      "div",
      { class: "facts" },
      definitions([
        ["prompts", data.n.toLocaleString("en")],
        [data.neutral ? "units that differ from their neutral means" : "units that differ between prompt and counterfactual", data.n_differing.toLocaleString("en")],
        ["their share of all units", data.differing_share === null ? null : percent(data.differing_share)],
      ]),
      areas(data.areas),
    ),
    make("details", {}, make("summary", {}, "The numbers"), data.curves.map(curveTable)),
  );
});

function curveFigure(curve) {
  return make(
    "figure",
    { class: "curve-figure", "data-curve": curve.name },
    make("figcaption", {}, make("strong", {}, curve.title), make("span", {}, curve.says)),
    curvePlot(curve, "f, share of the target's change"),
    curveLegend(curve),
  );
}

function areas(rows) {
  if (rows.length === 0) return null;
  return make("div", {}, make("h4", {}, "Area under faithfulness, over log N"), definitions(rows));
}

function curveTable(curve) {
  const head = ["units", curve.name, "interval", ...curve.nulls.flatMap((one) => [`${one.name} null`, "p", "advantage"])];
  const ends = (low, high) => (low === null ? "—" : `${short(low, 3)} to ${short(high, 3)}`);
  const rows = curve.points.map((point) => [
    point.size.toLocaleString("en"),
    figure(point.value),
    ends(point.low, point.high),
    ...curve.nulls.flatMap((one) => nullCells(one.points.find((p) => p.size === point.size), ends)),
  ]);
  return make("div", {}, make("h4", {}, curve.title), table(head, rows, { class: "figures" }));
}

function nullCells(point, ends) {
  if (point === undefined) return ["—", "—", "—"];
  const advantage = point.advantage_interval === null ? "" : ` (${ends(...point.advantage_interval)})`;
  return [
    figure(point.mean),
    make("span", {}, short(point.p_value, 2), make("small", {}, ` of ${counted(point.draws, "draw")}`)),
    make("span", {}, figure(point.advantage, { signed: true, digits: 3 }), advantage),
  ];
}
