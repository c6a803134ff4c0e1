// Builds elements. Text from a result reaches the page only as text nodes and attributes, so a token
// such as <script> is shown, never run.

const SVG = "http://www.w3.org/2000/svg";

/** `make("button", {class: "quiet", on: {click: go}}, "Go")`; children are nodes, texts, or null. */
function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function makeSvg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A token. Its direction is its own (bdi), and the marks that stand for blanks are set apart. */
function tokenText(text, attributes = {}) {
  const parts = text.split(/([␣⏎␍⇥]|⟨U\+[0-9A-F]+⟩)/u).filter((part) => part !== "");
  const nodes = parts.map((part) =>
    /^([␣⏎␍⇥]|⟨U\+[0-9A-F]+⟩)$/u.test(part) ? make("span", { class: "mark" }, part) : part,
  );
  return make("bdi", { class: "token", ...attributes }, nodes);
}

/** Rows of `[term, description]`; those whose description is null are left out. */
function definitions(rows, attributes = {}) {
  const shown = rows.filter(([, description]) => description !== null);
  return make(
    "dl",
    attributes,
    shown.flatMap(([term, description]) => [make("dt", explained(term), term), make("dd", {}, description)]),
  );
}

function table(head, rows, attributes = {}) {
  return make(
    "div",
    { class: "wide" },
    make(
      "table",
      attributes,
      make("thead", {}, make("tr", {}, head.map((cell) => make("th", { scope: "col", ...explained(cell) }, cell)))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell) => make("td", {}, cell))))),
    ),
  );
}
