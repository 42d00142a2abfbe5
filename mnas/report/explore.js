// Puts the parts where they belong and keeps them up to date.
const frame = html("div", {class: "chart", tabindex: "0", role: "application", "aria-roledescription": "scatter plot",
  "aria-label": "Networks by two figures. Arrow keys move from network to network, Enter picks one for the comparison, Escape shows all.",
  "aria-describedby": "front-keys"}, html("div", {class: "layers"}, chart.root, chart.over));

const legend = () => html("ul", {class: "key"},
  [["dots is-in", page.sources.some(one => one.startsWith("score:")) ? "candidates, ranked by a score" : "candidates, short training"], ["pt", "finalists, longer training, measured"], ["pt is-front", "the front"], ["pt is-front is-best", "best under the target"]]
    .filter(([name]) => name === "dots is-in" || page.finals.some(final => name === "pt" || (name.endsWith("best") ? final.best : final.front)))
    .map(([name, text]) => html("li", {}, svg("svg", {class: "swatch fig", viewBox: "0 0 12 12"}, name.startsWith("dots")
      ? svg("path", {class: name, d: "M6 6h0"}) : svg("g", {class: "s c0 finals"}, svg("circle", {class: name, cx: 6, cy: 6, r: 4.5}))), text)));

const start = () => {
  const place = mountOf("explorer"), there = mountOf("compare");
  if (!place || !networks.length) return;
  const caption = place.querySelector("figcaption");
  place.replaceChildren(
    toolbar, chips,
    html("div", {class: "board"},
      html("div", {}, html("figure", {class: "plot"}, frame, legend(),
        html("figcaption", {id: "front-keys"}, caption ? caption.textContent + " " : "", "Drag to filter; click, or press Enter, to compare.")),
      isWanted() && parallel),
      detail),
    spoken, list);
  if (there) there.replaceChildren(comparison);
  const front = networks.filter(one => one.final && one.final.front), best = networks.find(one => one.final && one.final.best);
  const ranked = (front.length > 1 ? front : networks.filter(one => one.final)).slice().sort((a, b) => valueOf(a, 0) - valueOf(b, 0));
  state.a = best || ranked[0] || null;
  state.b = ranked.filter(one => one !== state.a).pop() || null;
  state.focus = state.a;
  drawToolbar();
  drawChips();
  drawChart();
  drawParallel();
  drawDetail();
  drawList();
  drawComparison();
  wirePointer();
  wireParallel();
  wireKeys(frame);
  const redrawList = framed(drawList), redrawChart = framed(() => { drawMarks(); drawLanes(); });
  onChange(what => {
    if (what === "filter") { listing.count = FIRST; followFilters(); redrawChart(); redrawList(); }
    if (what === "axes") drawChart();
    if (what === "focus") { drawOver(); drawLaneFocus(); drawDetail(); }
    if (what === "compare") { drawOver(); drawComparison(); redrawList(); }
  });
  let width = frame.clientWidth;
  new ResizeObserver(framed(() => {
    if (frame.clientWidth === width) return;
    width = frame.clientWidth;
    detail.style.minHeight = "";
    drawChart();
    drawParallel();
    drawDetail();
    drawComparison();
  })).observe(frame);
};
start();
