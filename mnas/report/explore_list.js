// The networks looked at, as a table that grows on demand.
const FIRST = 10, MORE = 50;
const list = html("div", {class: "list"});
const listing = {by: 0, sign: 1, count: FIRST, order: null};  // all networks in order, sorted when they first are
const LIST_EXTRA = 2;  // columns beside the axes: generation and kind

const sortKey = network => {
  if (listing.by < axes.length) return valueOf(network, listing.by);
  return listing.by === axes.length ? network.gen : kindOf(network);
};
const compareKeys = ([one, a], [other, b]) => {
  if (!isKnown(one) || !isKnown(other)) return isKnown(other) - isKnown(one) || a.index - b.index;
  return listing.sign * ((one > other) - (one < other)) || a.index - b.index;
};
const sorted = () => {
  if (!listing.order) listing.order = networks.map(network => [sortKey(network), network]).sort(compareKeys).map(([, network]) => network);
  return listing.order.filter(network => inside.has(network));
};
const head = (text, by) => html("th", {scope: "col", class: by <= axes.length ? "r" : "l",
  "aria-sort": listing.by === by ? (listing.sign > 0 ? "ascending" : "descending") : null},
  html("button", {type: "button", onclick: () => {
    listing.sign = listing.by === by ? -listing.sign : 1;
    listing.by = by;
    listing.order = null;
    drawList();
  }}, text));

const rowOf = network => html("tr", {"data-network": network.id, class: network === state.a || network === state.b ? "best" : null,
  onmouseenter: () => focusOn(network)},
  html("td", {class: "l"}, html("button", {type: "button", class: "id", "aria-label": `Network ${network.id}: pick for the comparison`,
    onfocus: () => focusOn(network), onclick: () => { focusOn(network); pin(network); }},
    network.id, network === state.a ? " A" : network === state.b ? " B" : null)),
  axes.map((axis, number) => html("td", {class: "r"}, axisText(axis, valueOf(network, number)))),
  html("td", {class: "r"}, network.gen + 1),
  html("td", {class: "l"}, kindOf(network)));

const drawList = () => {
  const rows = sorted(), some = rows.slice(0, listing.count), left = rows.length - some.length;
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.network : null;
  list.replaceChildren(
    html("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": "Networks looked at"},
      html("table", {},
        html("thead", {}, html("tr", {}, html("th", {scope: "col", class: "l"}, "network"), axes.map((axis, number) => head(axis.label, number)), head("generation", axes.length), head("kind", axes.length + 1))),
        html("tbody", {}, some.length ? some.map(rowOf) : html("tr", {}, html("td", {class: "l missing", colspan: axes.length + LIST_EXTRA + 1}, "no network is left"))))),
    left ? html("button", {type: "button", class: "more", onclick: () => { listing.count += MORE; drawList(); }}, `Show ${Math.min(MORE, left)} more of ${grouped(left)}`) : "");
  if (focused) list.querySelector(`tr[data-network="${CSS.escape(focused)}"] button`)?.focus();
};
