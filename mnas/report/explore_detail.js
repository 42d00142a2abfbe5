// The panel beside the chart: the network pointed at, drawn, with its figures and where they come from.
const detail = html("aside", {class: "detail", "aria-label": "The network pointed at"});
const spoken = html("p", {class: "spoken", role: "status", "aria-live": "polite"});

const pair = (name, value, note) => html("div", {}, html("dt", {}, name), html("dd", {}, value, note && html("small", {}, note)));

const latencyPairs = network => {
  const final = network.final, pairs = [], isSeveral = page.devices.length > 1;
  const told = network.ms.filter(one => one), got = network.got || [];
  const worst = rows => rows.length === page.devices.length && (!isSeveral || page.combine === "worst")
    ? rows.reduce((one, other) => other[0] > one[0] ? other : one) : null;
  const single = worst(told), seen = worst(got.filter(one => one));
  pairs.push(pair("predicted", single ? withEnds(single[0], [single[1], single[2]]) : significant(network.pred) + " ms",
    page.luts.length ? "by " + page.luts.join(", ") : null));
  if (final && isKnown(final.v[0])) {
    pairs.push(pair("measured", withEnds(final.v[0], final.ends[0]), final.verdict && final.verdict !== "ok" ? final.verdict : null));
  } else {
    pairs.push(pair("measured", seen ? withEnds(seen[0], [seen[1], seen[2]]) : network.measured ? significant(network.v[0]) + " ms" : "not measured"));
  }
  if (isSeveral) page.devices.forEach((device, number) => {
    const axis = axes.findIndex(one => one.key === "latency@" + (number + 1));
    const own = network.ms[number];
    if (own) pairs.push(pair("predicted on " + device, withEnds(own[0], [own[1], own[2]])));
    if (final && isKnown(final.v[axis])) pairs.push(pair("measured on " + device, withEnds(final.v[axis], final.ends[axis])));
    else if (got[number]) pairs.push(pair("measured on " + device, withEnds(got[number][0], [got[number][1], got[number][2]])));
  });
  return pairs;
};
const accuracyPairs = network => {
  const final = network.final, pairs = [];
  if (final && isKnown(final.v[1])) {
    pairs.push(pair("accuracy", accuracyWithEnds(final.v[1], final.ends[1]), final.by));
    if (isKnown(final.test)) pairs.push(pair("on test", percent(final.test), "chose nothing"));
  }
  pairs.push(pair(final && isKnown(final.v[1]) ? "when ranked" : "accuracy", isKnown(network.v[1]) ? percent(network.v[1]) : "not known", page.sources[network.by]));
  return pairs;
};
const otherPairs = network => axes
  .map((axis, number) => [axis, valueOf(network, number)])
  .filter(([axis, value]) => axis.key !== "accuracy" && !axis.key.startsWith("latency") && isKnown(value))
  .map(([axis, value]) => pair(axis.label, grouped(value)));

const originOf = network => {
  const from = [page.study + ", generation " + (network.gen + 1)];
  if (network.final && isKnown(network.final.v[0])) from.push(...network.final.sessions.map(one => "measured " + one));
  if (network.final && network.final.seeds.length) from.push("seeds " + network.final.seeds.join(", "));
  return from;
};

// It grows and never shrinks: what stands below would move away from under the pointer.
const keepHeight = () => { detail.style.minHeight = Math.max(parseFloat(detail.style.minHeight) || 0, detail.offsetHeight) + "px"; };

const drawDetail = () => {
  const network = state.focus;
  if (!network) {
    detail.replaceChildren(html("p", {class: "hint"}, "Point at a network, or move there with the arrow keys. A click, or Enter, picks it for the comparison; dragging filters."));
    return;
  }
  const width = Math.max(220, Math.min(420, detail.clientWidth - 28));
  detail.replaceChildren(...[
    html("h3", {}, html("code", {}, network.id), html("span", {class: "kind"}, kindOf(network))),
    network.net.length ? drawNetwork(network, {width, device: state.device}) : html("p", {class: "hint"}, "The space of this study is not to be had here, so that the network cannot be drawn."),
    network.net.length ? netKey([network]) : null,
    network.why ? html("p", {class: "why"}, network.why) : null,
    html("dl", {}, latencyPairs(network), accuracyPairs(network), otherPairs(network)),
    html("p", {class: "from"}, originOf(network).join(" · ")),
    html("p", {class: "actions"},
      html("button", {type: "button", onclick: () => pin(network, "a")}, "Compare as A"),
      html("button", {type: "button", onclick: () => pin(network, "b")}, "Compare as B"),
      network.final && network.final.card ? html("a", {href: network.final.card}, "its card") : null),
  ].filter(Boolean));
  keepHeight();
  spoken.textContent = `${network.id}, ${kindOf(network)}: ` +
    [0, 1].map(axis => `${axes[axis].label} ${axisText(axes[axis], valueOf(network, axis))}`).join(", ");
};
