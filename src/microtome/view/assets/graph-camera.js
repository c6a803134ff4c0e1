// From slots of the layout to pixels of the canvas, with zoom and pan.

const LARGEST_SLOT = 26; // pixels between neighbours in a cell, so that a cell stays one cluster
const PADDING = 0.6; // slots around the picture
const MOST_ZOOM = 40;

function makeCamera(graph) {
  const world = { width: graph.width + 2 * PADDING, height: graph.height + 2 * PADDING };
  const frame = { left: 0, top: 0, right: 1, bottom: 1 };
  let zoom = 1;
  let corner = { x: 0, y: 0 }; // what stands in the lower left corner of the frame, in slots
  const scaleX = () => ((frame.right - frame.left) / world.width) * zoom;
  const scaleY = () => ((frame.bottom - frame.top) / world.height) * zoom;
  const atX = (x) => frame.left + (x + PADDING - corner.x) * scaleX();
  const atY = (y) => frame.bottom - (y + PADDING - corner.y) * scaleY();
  const spacing = (scale) => Math.min(scale, LARGEST_SLOT * Math.max(1, zoom / 2));

  function moveTo(x, y) {
    const most = 1 - 1 / zoom;
    corner = {
      x: Math.min(Math.max(x, 0), world.width * most),
      y: Math.min(Math.max(y, 0), world.height * most),
    };
  }

  return {
    frame,
    atX,
    atY,
    zoomed: () => zoom > 1,
    slot: () => spacing(Math.min(scaleX(), scaleY())),
    place: (node) => ({
      x: atX(node.x) + node.dx * spacing(scaleX()),
      y: atY(node.y) - node.dy * spacing(scaleY()),
    }),
    zoomAt(px, py, factor) {
      const x = corner.x + (px - frame.left) / scaleX();
      const y = corner.y + (frame.bottom - py) / scaleY();
      zoom = Math.min(Math.max(zoom * factor, 1), MOST_ZOOM);
      moveTo(x - (px - frame.left) / scaleX(), y - (frame.bottom - py) / scaleY());
    },
    panBy(dx, dy) {
      moveTo(corner.x - dx / scaleX(), corner.y + dy / scaleY());
    },
    /** Moves a node that lies outside the frame to its middle. */
    reveal(node) {
      const { x, y } = this.place(node);
      const inside = x > frame.left && x < frame.right && y > frame.top && y < frame.bottom;
      if (!inside) this.panBy((frame.left + frame.right) / 2 - x, (frame.top + frame.bottom) / 2 - y);
    },
    fit() {
      zoom = 1;
      moveTo(0, 0);
    },
  };
}
