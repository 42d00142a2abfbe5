// More than two objectives at once: a line a network through an axis each, the better end of each at the top.
const lanes = {
  root: svg("svg", {class: "fig lanes", role: "img", "aria-label": "Every objective at once: a line a network, the better end of each axis at the top"}),
  over: svg("svg", {class: "fig lanes over", role: "presentation"}), axes: page.sought, scales: new Map(), width: 0, height: 250, top: 58, bottom: 228,
};
const parallel = html("figure", {class: "parallel"}, html("div", {class: "layers"}, lanes.root, lanes.over),
  html("figcaption", {}, "Every objective at once, a line a network, the better end at the top; orange is the front. Drag along an axis to filter by it."));
const isWanted = () => lanes.axes.length > 2;

const laneX = place => 60 + place * (lanes.width - 120) / Math.max(1, lanes.axes.length - 1);
const laneY = (axis, value) => {
  const share = lanes.scales.get(axis).fraction(value);
  return lanes.bottom - (axes[axis].max ? share : 1 - share) * (lanes.bottom - lanes.top);
};
const laneValue = (axis, y) => {
  const share = Math.min(Math.max((lanes.bottom - y) / (lanes.bottom - lanes.top), 0), 1);
  return lanes.scales.get(axis).value(axes[axis].max ? share : 1 - share);
};
const laneLine = network => {
  const values = lanes.axes.map(axis => valueOf(network, axis));
  if (!values.every(isKnown)) return "";
  return values.map((value, place) => (place ? "L" : "M") + at(laneX(place)) + " " + at(laneY(lanes.axes[place], value))).join("");
};
const lanePath = (some, name) => svg("path", {class: "lane " + name, d: some.map(laneLine).join("")});

const laneAxis = (axis, place) => {
  // Where axes stand close, every other name stands lower, and names are short.
  const x = laneX(place), scale = lanes.scales.get(axis), isClose = lanes.width / lanes.axes.length < 150;
  const name = isClose ? axes[axis].key : axes[axis].label.split(", ")[0];
  const anchor = place === 0 ? "start" : place === lanes.axes.length - 1 ? "end" : "middle";
  const edge = anchor === "start" ? x - 50 : anchor === "end" ? x + 50 : x;
  const [best, worst] = axes[axis].max ? [scale.high, scale.low] : [scale.low, scale.high];
  const range = state.ranges.get(axis);
  const parts = [
    svg("path", {class: "base", d: `M${at(x)} ${lanes.top}V${lanes.bottom}`}),
    svg("text", {class: "label", x: at(edge), y: isClose && place % 2 ? 14 : 29, "text-anchor": anchor}, name),
    svg("text", {class: "tick", x: at(x), y: lanes.top - 8, "text-anchor": "middle"}, axisText(axes[axis], best)),
    svg("text", {class: "tick", x: at(x), y: lanes.bottom + 16, "text-anchor": "middle"}, axisText(axes[axis], worst)),
  ];
  if (range) {
    const ends = range.map(end => laneY(axis, Math.min(Math.max(end, scale.low), scale.high)));
    parts.push(svg("rect", {class: "brush", x: at(x - 9), y: at(Math.min(...ends)), width: 18, height: at(Math.abs(ends[1] - ends[0]))}));
  }
  return parts;
};

const drawParallel = () => {
  if (!isWanted()) return;
  lanes.width = Math.max(280, Math.floor(parallel.clientWidth));
  for (const layer of [lanes.root, lanes.over]) {
    layer.setAttribute("viewBox", `0 0 ${lanes.width} ${lanes.height}`);
    layer.setAttribute("height", lanes.height);
  }
  for (const axis of lanes.axes) lanes.scales.set(axis, makeScale(networks.map(one => valueOf(one, axis)).filter(isKnown), axes[axis].log));
  drawLanes();
};
const drawLanes = () => {
  if (!isWanted()) return;
  const front = shown.filter(one => one.final && one.final.front);
  lanes.root.replaceChildren(
    lanePath(networks.filter(one => !inside.has(one)), "is-out"), lanePath(shown, "is-in"), lanePath(front, "is-front"),
    ...lanes.axes.flatMap(laneAxis));
  drawLaneFocus();
};
const drawLaneFocus = () => {
  if (isWanted()) lanes.over.replaceChildren(state.focus ? lanePath([state.focus], "is-focus") : "");
};

const wireParallel = () => {
  let axis = null, from = 0, to = 0;
  const placed = event => {
    const box = lanes.root.getBoundingClientRect();
    return [(event.clientX - box.left) * lanes.width / box.width, (event.clientY - box.top) * lanes.height / box.height];
  };
  const brushed = framed(() => {
    if (axis === null) return;
    const ends = [laneValue(axis, from), laneValue(axis, to)];
    setRange(axis, Math.min(...ends), Math.max(...ends));
    filtered();
  });
  lanes.root.addEventListener("pointerdown", event => {
    const [x, y] = placed(event), place = lanes.axes.findIndex((_, index) => Math.abs(laneX(index) - x) < 24);
    if (event.button !== 0 || place < 0) return;
    [axis, from, to] = [lanes.axes[place], y, y];
    lanes.root.setPointerCapture(event.pointerId);
  });
  lanes.root.addEventListener("pointermove", event => {
    if (axis === null) return;
    to = placed(event)[1];
    if (Math.abs(to - from) > STILL) brushed();
  });
  const ended = () => {
    if (axis !== null && Math.abs(to - from) <= STILL) { state.ranges.delete(axis); filtered(); }
    requestAnimationFrame(() => { axis = null; });
  };
  lanes.root.addEventListener("pointerup", ended);
  lanes.root.addEventListener("pointercancel", ended);
};
