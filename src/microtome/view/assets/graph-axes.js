// The axes of the graph: tokens along x, layers up y. They stay in place while the picture moves.

const TOKEN_FONT = 12.5;
const TOKEN_SPACE = 7; // pixels between two tokens
const LAYER_FONT = 11;
const LONGEST_TOKEN = 16;

/** Sets the camera's frame inside a canvas of this size, leaving room for labels. */
function frameFor(pen, graph, camera, palette, size) {
  const { width, height } = size;
  Object.assign(camera.frame, { left: 50, top: 8, right: width - 12, bottom: height - 30 });
  const flat = labelsFit(pen, graph, camera, palette);
  if (!flat) {
    const longest = Math.max(...graph.columns.map((column) => pen.measureText(clipped(column.label)).width));
    camera.frame.bottom = height - Math.min(100, longest * 0.87 + 22);
  }
  return { flat, ...size };
}

/** Whether the tokens can stand upright: none runs into the next. */
function labelsFit(pen, graph, camera, palette) {
  pen.font = `${TOKEN_FONT}px ${palette.font}`;
  let free = 0;
  return graph.columns.every((column) => {
    const middle = camera.atX(column.start + column.extent / 2);
    const half = pen.measureText(clipped(column.label)).width / 2;
    const fits = middle - half > free;
    free = middle + half + TOKEN_SPACE;
    return fits;
  });
}

function clipped(label) {
  const letters = [...label];
  return letters.length > LONGEST_TOKEN ? letters.slice(0, LONGEST_TOKEN - 1).join("") + "…" : label;
}

/** Bands behind the columns and lines through the layers. */
function paintGrid(pen, graph, camera, palette) {
  const { left, right, top, bottom } = camera.frame;
  pen.fillStyle = palette.band;
  graph.columns.forEach((column, at) => {
    if (at % 2 === 1) return;
    const from = Math.max(left, camera.atX(column.start - 0.35));
    const to = Math.min(right, camera.atX(column.start + column.extent + 0.35));
    if (to > from) pen.fillRect(from, top, to - from, bottom - top);
  });
  pen.strokeStyle = palette.line;
  pen.lineWidth = 1;
  for (const row of graph.rows) {
    const y = Math.round(camera.atY(row.start + row.extent / 2)) + 0.5;
    if (y < top || y > bottom) continue;
    pen.setLineDash(row.folded ? [3, 5] : []); // here layers without a node are left out
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(right, y);
    pen.stroke();
  }
  pen.setLineDash([]);
}

function paintLabels(pen, graph, camera, palette, frame) {
  paintLayerNames(pen, graph, camera, palette);
  paintTokens(pen, graph, camera, palette, frame);
}

function paintLayerNames(pen, graph, camera, palette) {
  pen.font = `${LAYER_FONT}px ${palette.font}`;
  pen.fillStyle = palette.faint;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const { left, top, bottom } = camera.frame;
  let last = Infinity;
  const ends = [graph.rows[0], graph.rows[graph.rows.length - 1]];
  const middle = (row) => camera.atY(row.start + row.extent / 2);
  for (const row of [...ends, ...graph.rows.slice(1, -1)]) {
    const y = middle(row);
    const crowded = !ends.includes(row) && (last - y < LAYER_FONT + 1 || ends.some((end) => Math.abs(middle(end) - y) < LAYER_FONT + 1));
    if (y < top || y > bottom || crowded) continue;
    if (!ends.includes(row)) last = y;
    pen.fillText(row.label, left - 6, y);
  }
}

function paintTokens(pen, graph, camera, palette, { flat }) {
  const { left, right, bottom } = camera.frame;
  pen.font = `${TOKEN_FONT}px ${palette.font}`;
  pen.fillStyle = palette.ink;
  for (const column of graph.columns) {
    const x = camera.atX(column.start + column.extent / 2);
    if (x < left || x > right) continue;
    pen.save();
    pen.translate(x, bottom + 8);
    if (!flat) pen.rotate(-1.05);
    pen.textAlign = flat ? "center" : "right";
    pen.textBaseline = flat ? "top" : "middle";
    pen.fillText(clipped(column.label), 0, flat ? 2 : 2);
    pen.restore();
  }
}
