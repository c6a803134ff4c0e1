// A measure against the size of the circuit, on a log axis, with its interval and its nulls.

const PLOT = { width: 560, height: 340, left: 58, right: 14, top: 14, bottom: 50 };

function curvePlot(curve, yLabel) {
  const scale = plotScale(curve);
  const svg = makeSvg("svg", {
    class: "plot", viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", "aria-label": curveInWords(curve),
  });
  svg.append(...axes(scale, curve.points.map((point) => point.size), yLabel));
  curve.nulls.forEach((null_, at) => svg.append(...nullMarks(null_, at, scale)));
  svg.append(...curveMarks(curve, scale));
  return svg;
}

/** Positions of sizes and of values; the values' range always holds 0 and 1, the two ends of the claim. */
function plotScale({ points, nulls }) {
  const all = [...points, ...nulls.flatMap((one) => one.points)];
  const values = [0, 1, ...all.flatMap((p) => [p.value ?? p.mean, p.low, p.high]).filter((v) => v !== null)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = 0.04 * (high - low);
  const sizes = points.map((point) => Math.log(point.size));
  const [first, last] = [sizes[0], sizes[sizes.length - 1]];
  const span = last > first ? last - first : 1;
  const start = last > first ? first : first - 0.5;
  return {
    low: low - room,
    high: high + room,
    x: (size) => PLOT.left + 16 + ((Math.log(size) - start) / span) * (PLOT.width - PLOT.left - PLOT.right - 32),
    y: (value) => PLOT.height - PLOT.bottom - ((value - low + room) / (high - low + 2 * room)) * (PLOT.height - PLOT.top - PLOT.bottom),
  };
}

function axes(scale, sizes, yLabel) {
  const [left, right, bottom] = [PLOT.left, PLOT.width - PLOT.right, PLOT.height - PLOT.bottom];
  const marks = ticks(scale.low, scale.high).flatMap((value) => [
    makeSvg("line", { class: value === 0 || value === 1 ? "grid strong" : "grid", x1: left, x2: right, y1: scale.y(value), y2: scale.y(value) }),
    makeSvg("text", { class: "tick", x: left - 8, y: scale.y(value) + 4, "text-anchor": "end" }, short(value, 3)),
  ]);
  let free = -Infinity;
  for (const size of sizes) {
    const x = scale.x(size);
    marks.push(makeSvg("line", { class: "axis", x1: x, x2: x, y1: bottom, y2: bottom + 5 }));
    const text = size.toLocaleString("en");
    if (x - 4 * text.length < free) continue;
    free = x + 4 * text.length + 6;
    marks.push(makeSvg("text", { class: "tick", x, y: bottom + 19, "text-anchor": "middle" }, text));
  }
  return [
    ...marks,
    makeSvg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
    makeSvg("text", { class: "label", x: (left + right) / 2, y: PLOT.height - 10, "text-anchor": "middle" }, "N, units in the circuit (log scale)"),
    makeSvg("text", { class: "label", transform: `translate(15 ${(PLOT.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel),
  ];
}

function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push(Number((at * step).toPrecision(6)));
  return found;
}

const pathOf = (pairs) => pairs.map(([x, y], at) => `${at === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

function nullMarks({ name, points }, at, { x, y }) {
  const style = `null-${Math.min(at, 2) + 1}`;
  const band = [...points.map((p) => [x(p.size), y(p.high)]), ...[...points].reverse().map((p) => [x(p.size), y(p.low)])];
  return [
    makeSvg("path", { class: `null band ${style}`, d: `${pathOf(band)}Z` }),
    makeSvg("path", { class: `null mean ${style}`, d: pathOf(points.map((p) => [x(p.size), y(p.mean)])) }),
    ...points.map((p) =>
      makeSvg("rect", { class: `null mark ${style}`, x: x(p.size) - 3, y: y(p.mean) - 3, width: 6, height: 6 },
        makeSvg("title", {}, `${name} null at ${p.size.toLocaleString("en")} units: ${short(p.mean, 3)}`)),
    ),
  ];
}

function curveMarks({ name, points }, { x, y }) {
  const bars = points.filter((p) => p.low !== null).map((p) => {
    const [top, bottom, at] = [y(p.high), y(p.low), x(p.size)];
    return makeSvg("path", { class: "interval", d: `M${at - 5} ${top}h10M${at} ${top}V${bottom}M${at - 5} ${bottom}h10` });
  });
  return [
    ...bars,
    makeSvg("path", { class: "curve", d: pathOf(points.map((p) => [x(p.size), y(p.value)])) }),
    ...points.map((p) =>
      makeSvg("circle", { class: "point", cx: x(p.size), cy: y(p.value), r: 4.5 },
        makeSvg("title", {}, `${name} at ${p.size.toLocaleString("en")} units: ${short(p.value, 3)}`)),
    ),
  ];
}

function curveInWords({ title, points, nulls }) {
  const list = (rows, key) => rows.map((p) => `${short(p[key], 3)} at ${p.size}`).join(", ");
  return [`${title}: ${list(points, "value")}`, ...nulls.map((n) => `${n.name} null: ${list(n.points, "mean")}`)].join(". ");
}

function curveLegend({ nulls, points }) {
  const key = (content, text) => make("li", {}, makeSvg("svg", { width: 30, height: 14, "aria-hidden": "true" }, content), text);
  const interval = points.some((p) => p.low !== null) ? `, with its ${percent(points[0].level)} interval` : "";
  return make(
    "ul",
    { class: "legend" },
    key([makeSvg("path", { class: "curve", d: "M1 7H29" }), makeSvg("circle", { class: "point", cx: 15, cy: 7, r: 4 })], `circuit${interval}`),
    nulls.map(({ name, points: drawn }, at) => {
      const style = `null-${Math.min(at, 2) + 1}`;
      const many = drawn.some((p) => p.draws > 1) ? ": mean and middle 95% of draws" : "";
      return key(
        [
          many ? makeSvg("rect", { class: `null band ${style}`, x: 1, y: 1, width: 28, height: 12 }) : null,
          makeSvg("path", { class: `null mean ${style}`, d: "M1 7H29" }),
          makeSvg("rect", { class: `null mark ${style}`, x: 12, y: 4, width: 6, height: 6 }),
        ],
        `${name} null${many}`,
      );
    }),
  );
}
