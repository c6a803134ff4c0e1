// Numbers in words: few digits for the eye, the whole number in the element for whoever looks closer.

/** Four significant digits, with a true minus sign; an em dash where there is no number. */
function short(number, digits = 4) {
  if (number === null || number === undefined) return "—";
  if (number === 0) return "0";
  const size = Math.abs(number);
  const text =
    size >= 1e6 || size < 1e-4
      ? number.toExponential(digits - 2)
      : String(Number(number.toPrecision(digits)));
  return text.replace(/-/g, "−");
}

/** The same as an element that carries the exact number. */
function figure(number, { signed = false, digits = 4 } = {}) {
  if (number === null || number === undefined) return make("span", { class: "none" }, "—");
  const sign = signed && number > 0 ? "+" : "";
  const side = !signed || number === 0 ? "" : number > 0 ? "supports" : "opposes";
  return make("data", { value: String(number), class: side }, sign + short(number, digits));
}

function percent(share) {
  if (share === 0) return "0%";
  const value = 100 * share;
  if (value > 99.9 && value < 100) return "over 99.9%";
  return `${Number(value.toPrecision(value >= 10 ? 3 : 2))}%`;
}

function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
