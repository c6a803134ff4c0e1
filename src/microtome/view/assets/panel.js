// The panels of a page. Each panel's file calls `panel(name, draw)`; the page calls what it has data for.

const PANELS = new Map();

/** `draw(host, data)` fills the section `host` from the frozen `data` of the Python side. */
function panel(name, draw) {
  if (PANELS.has(name)) throw new Error(`two panels are called ${name}`);
  PANELS.set(name, draw);
}

function drawPanel(host, name, data) {
  const draw = PANELS.get(name);
  if (draw === undefined) throw new Error(`no panel is called ${name}`);
  draw(host, data);
}

/** A small state that tells its watchers, once a frame at most, that it changed. */
function makeStore(state) {
  const watchers = [];
  let waiting = false;
  const tell = () => {
    waiting = false;
    for (const watch of watchers) watch(state);
  };
  return {
    get: () => state,
    watch: (watch) => watchers.push(watch),
    set(changes) {
      state = Object.freeze({ ...state, ...changes });
      if (!waiting) {
        waiting = true;
        requestAnimationFrame(tell);
      }
    },
  };
}
