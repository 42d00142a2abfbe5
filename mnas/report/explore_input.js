// Pointing, brushing and the keyboard on the chart.
const REACH = 28, STILL = 5;

const placeOf = event => {
  const box = chart.root.getBoundingClientRect();
  return [(event.clientX - box.left) * chart.width / box.width, (event.clientY - box.top) * chart.height / box.height];
};
const nearest = ([x, y], reach) => {
  let best = null, least = reach * reach;
  for (const point of chart.points) {
    if (!inside.has(point.network)) continue;
    // A finalist counts as nearer than it is: it lies on top.
    const distance = ((point.x - x) ** 2 + (point.y - y) ** 2) * (point.network.final ? 0.5 : 1);
    if (distance < least) [best, least] = [point.network, distance];
  }
  return best;
};

const brushTo = (from, to) => {
  const hold = ([x, y]) => [Math.min(Math.max(x, chart.left), chart.right), Math.min(Math.max(y, chart.top), chart.bottom)];
  const [[x0, y0], [x1, y1]] = [hold(from), hold(to)];
  setRange(state.x, valueX(Math.min(x0, x1)), valueX(Math.max(x0, x1)));
  setRange(state.y, valueY(Math.max(y0, y1)), valueY(Math.min(y0, y1)));
};

const wirePointer = () => {
  let from = null, isBrushing = false, to = null;
  const brushed = framed(() => { if (to && from) { brushTo(from, to); filtered(); } });
  const over = framed(() => { if (to && !from) { const found = nearest(to, REACH); if (found) focusOn(found); } });
  chart.root.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    [from, isBrushing] = [placeOf(event), false];
    chart.root.setPointerCapture(event.pointerId);
  });
  chart.root.addEventListener("pointermove", event => {
    to = placeOf(event);
    if (!from) return over();
    if (!isBrushing && Math.hypot(to[0] - from[0], to[1] - from[1]) > STILL) isBrushing = true;
    if (isBrushing) brushed();
  });
  chart.root.addEventListener("pointerup", event => {
    if (!from) return;
    to = placeOf(event);
    if (isBrushing) {
      brushTo(from, to);
      filtered();
    } else {
      const found = nearest(to, REACH);
      if (found) { focusOn(found); pin(found); }
    }
    from = null;
  });
  chart.root.addEventListener("pointercancel", () => { from = null; });
  chart.root.addEventListener("dblclick", () => clearFilters());
};

// Left and right walk along the horizontal axis, up and down along the vertical one.
const step = (axis, by) => {
  const there = chart.points.filter(one => inside.has(one.network));
  if (!there.length) return;
  const sign = axis === "y" ? -1 : 1;
  there.sort((a, b) => sign * (a[axis] - b[axis]) || a.network.index - b.network.index);
  const now = there.findIndex(one => one.network === state.focus);
  const next = now < 0 ? 0 : Math.min(Math.max(now + by, 0), there.length - 1);
  focusOn(there[next].network);
};
const KEYS = {
  ArrowRight: () => step("x", 1), ArrowLeft: () => step("x", -1),
  ArrowUp: () => step("y", 1), ArrowDown: () => step("y", -1),
  PageUp: () => step("x", 10), PageDown: () => step("x", -10),
  Home: () => step("x", -Infinity), End: () => step("x", Infinity),
  Enter: () => state.focus && pin(state.focus), " ": () => state.focus && pin(state.focus),
  a: () => state.focus && pin(state.focus, "a"), b: () => state.focus && pin(state.focus, "b"),
  Escape: () => clearFilters(),
};
const wireKeys = frame => {
  frame.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  frame.addEventListener("focus", () => { if (!state.focus) step("x", -Infinity); });
};
