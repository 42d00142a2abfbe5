// The scatter plot. Candidates are two strokes of dots, however many there are; finalists are marks of their own.
const chart = {
  root: svg("svg", {class: "fig front", role: "presentation"}),
  // A picture of its own above it: what follows the pointer must not paint thousands of dots anew.
  over: svg("svg", {class: "fig front over", role: "presentation"}),
  points: [], x: null, y: null, left: 0, right: 0, top: 12, bottom: 0, width: 0, height: 0,
};
const px = value => chart.left + chart.x.fraction(value) * (chart.right - chart.left);
const py = value => chart.bottom - chart.y.fraction(value) * (chart.bottom - chart.top);
const valueX = at => chart.x.value((at - chart.left) / (chart.right - chart.left));
const valueY = at => chart.y.value((chart.bottom - at) / (chart.bottom - chart.top));
const at = number => number.toFixed(1);

const endsOf = (network, axis) => network.final && isKnown(network.final.v[axis]) ? network.final.ends[axis] : null;
const tickText = (axis, value) =>
  axis.key === "accuracy" ? Number((100 * value).toPrecision(6)) + " %" : value >= 1e4 ? value.toLocaleString("en-US", {notation: "compact"}) : String(value);

const measureChart = width => {
  const isNarrow = width < 520;
  const known = networks.filter(one => isKnown(valueOf(one, state.x)) && isKnown(valueOf(one, state.y)));
  const span = axis => known.flatMap(one => [valueOf(one, axis), ...(endsOf(one, axis) || [])]);
  const target = axes[state.x].key === "latency" && page.target ? [page.target] : [];
  chart.x = makeScale([...span(state.x), ...target], axes[state.x].log);
  chart.y = makeScale(span(state.y), axes[state.y].log);
  chart.width = width;
  chart.height = isNarrow ? 320 : Math.min(480, Math.max(360, width * 0.62));
  chart.bottom = chart.height - 44;
  chart.top = 22;
  const labels = chart.y.ticks(isNarrow ? 5 : 7).map(value => tickText(axes[state.y], value));
  chart.left = 30 + 6.4 * Math.max(2, ...labels.map(text => text.length));
  chart.right = width - 12;
  chart.points = known.map(network => ({network, x: px(valueOf(network, state.x)), y: py(valueOf(network, state.y))}));
};

const gridOf = () => {
  const parts = [], lines = [];
  for (const value of chart.x.ticks(Math.max(3, Math.floor(chart.width / 100)))) {
    lines.push(`M${at(px(value))} ${chart.top}V${at(chart.bottom)}`);
    parts.push(svg("text", {class: "tick", x: at(px(value)), y: chart.bottom + 16, "text-anchor": "middle"}, tickText(axes[state.x], value)));
  }
  for (const value of chart.y.ticks(chart.width < 520 ? 5 : 7)) {
    lines.push(`M${at(chart.left)} ${at(py(value))}H${at(chart.right)}`);
    parts.push(svg("text", {class: "tick", x: chart.left - 7, y: py(value) + 4, "text-anchor": "end"}, tickText(axes[state.y], value)));
  }
  const middle = (chart.top + chart.bottom) / 2;
  return [
    svg("path", {class: "grid", d: lines.join("")}),
    svg("path", {class: "base", d: `M${at(chart.left)} ${at(chart.bottom)}H${at(chart.right)}`}),
    ...parts,
    svg("text", {class: "label", x: (chart.left + chart.right) / 2, y: chart.bottom + 36, "text-anchor": "middle"}, axes[state.x].label),
    svg("text", {class: "label", x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})`}, axes[state.y].label),
  ];
};

const targetLine = () => {
  if (axes[state.x].key !== "latency" || !page.target) return [];
  const x = px(page.target), isLeft = x > (chart.left + chart.right) / 2;
  return [svg("path", {class: "mark", d: `M${at(x)} ${chart.top - 8}V${at(chart.bottom)}`}),
    svg("text", {class: "marklabel", x: isLeft ? x - 5 : x + 5, y: chart.top - 8, "text-anchor": isLeft ? "end" : "start"},
      `target ${significant(page.target, 3)} ms`)];
};

const dots = (points, name) => svg("path", {class: "dots " + name, d: points.map(one => `M${at(one.x)} ${at(one.y)}h0`).join("")});

const staircase = finals => {
  if (!page.steps || axes[state.x].key !== "latency" || axes[state.y].key !== "accuracy") return null;
  const front = finals.filter(one => one.network.final.front).sort((a, b) => a.x - b.x);
  return svg("path", {class: "ln", d: front.map((one, index) => (index ? "H" : "M") + at(one.x) + (index ? "V" : " ") + at(one.y)).join("")});
};

const tiesOf = finals => {
  const places = new Map(finals.map(one => [one.network.index, one]));
  const strokes = [];
  for (const one of finals) {
    for (const other of one.network.final.ties) {
      const there = places.get(other);
      if (there && other > one.network.index) strokes.push(`M${at(one.x)} ${at(one.y)}L${at(there.x + 0.1)} ${at(there.y)}`);
    }
  }
  return strokes.length && axes[state.x].key === "latency" && axes[state.y].key === "accuracy"
    ? svg("path", {class: "tie", d: strokes.join("")}) : null;
};

const barsOf = finals => {
  const strokes = [];
  for (const {network, x, y} of finals) {
    const across = endsOf(network, state.x), up = endsOf(network, state.y);
    if (across) strokes.push(`M${at(px(across[0]))} ${at(y)}H${at(px(across[1]))}`, ...across.map(end => `M${at(px(end))} ${at(y - 3)}v6`));
    if (up) strokes.push(`M${at(x)} ${at(py(up[0]))}V${at(py(up[1]))}`, ...up.map(end => `M${at(x - 3)} ${at(py(end))}h6`));
  }
  return svg("path", {class: "bar", d: strokes.join("")});
};

const finalMark = ({network, x, y}) => svg("circle", {
  class: "pt" + (network.final.front ? " is-front" : "") + (network.final.best ? " is-best" : "") + (inside.has(network) ? "" : " is-out"),
  cx: at(x), cy: at(y), r: network.final.best ? 6.5 : 5, "data-id": network.id,
});

const drawChart = () => {
  measureChart(Math.max(280, Math.floor(chart.root.parentElement.clientWidth)));
  for (const layer of [chart.root, chart.over]) {
    layer.setAttribute("viewBox", `0 0 ${chart.width} ${chart.height}`);
    layer.setAttribute("height", chart.height);
  }
  drawMarks();
};
const drawMarks = () => {
  const finals = chart.points.filter(one => one.network.final), cloud = chart.points.filter(one => !one.network.final);
  chart.root.replaceChildren(...[
    ...gridOf(), ...targetLine(), tiesOf(finals),
    isFiltered() && dots(cloud.filter(one => !inside.has(one.network)), "is-out"),
    dots(cloud.filter(one => inside.has(one.network)), "is-in"),
    svg("g", {class: "s c1"}, staircase(finals)),
    svg("g", {class: "s c0 finals"}, barsOf(finals), finals.map(finalMark)),
  ].filter(Boolean));
  drawOver();
};

const pointOf = network => chart.points.find(one => one.network === network);
const letter = (network, text) => {
  const point = network && pointOf(network);
  return point ? [svg("circle", {class: "pin", cx: at(point.x), cy: at(point.y), r: 9}),
    svg("text", {class: "pinlabel", x: at(point.x), y: at(point.y - 13), "text-anchor": "middle"}, text)] : [];
};
// Where a finalist was ranked, before it was trained longer and measured.
const trail = network => {
  if (!network || !network.final || !isKnown(network.v[state.x]) || !isKnown(network.v[state.y])) return null;
  const point = pointOf(network);
  return point ? svg("path", {class: "trail", d: `M${at(px(network.v[state.x]))} ${at(py(network.v[state.y]))}L${at(point.x)} ${at(point.y)}`}) : null;
};
const brushBox = () => {
  const across = state.ranges.get(state.x), up = state.ranges.get(state.y);
  if (!across && !up) return null;
  const hold = (value, low, high) => Math.min(Math.max(value, low), high);
  const x0 = across && chart.x.low < across[0] ? hold(px(across[0]), chart.left, chart.right) : chart.left;
  const x1 = across && chart.x.high > across[1] ? hold(px(across[1]), chart.left, chart.right) : chart.right;
  const y0 = up && chart.y.high > up[1] ? hold(py(up[1]), chart.top, chart.bottom) : chart.top;
  const y1 = up && chart.y.low < up[0] ? hold(py(up[0]), chart.top, chart.bottom) : chart.bottom;
  return svg("rect", {class: "brush", x: at(x0), y: at(y0), width: at(Math.max(0, x1 - x0)), height: at(Math.max(0, y1 - y0))});
};
const drawOver = () => {
  const point = state.focus && pointOf(state.focus);
  chart.over.replaceChildren(...[
    brushBox(), trail(state.focus),
    ...letter(state.a, "A"), ...letter(state.b, "B"),
    point && svg("circle", {class: "focus", cx: at(point.x), cy: at(point.y), r: 8}),
  ].filter(Boolean));
};
