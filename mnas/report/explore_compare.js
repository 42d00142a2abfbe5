// Two networks set beside each other, block by block.
const comparison = html("div", {class: "comparison"});

const networkChoices = () => {
  const first = networks.filter(one => one.final || one === state.a || one === state.b);
  return first.sort((a, b) => (valueOf(a, 0) ?? Infinity) - (valueOf(b, 0) ?? Infinity))
    .map(one => [one.index, `${one.id}, ${axisText(axes[0], valueOf(one, 0))} ms, ${axisText(axes[1], valueOf(one, 1))}, ${kindOf(one)}`]);
};
const slotChoice = slot => choice(slot.toUpperCase(), "pick-" + slot, networkChoices(), state[slot] ? state[slot].index : "", value => pin(networks[Number(value)], slot));

const blockText = number => number === null ? null : page.parts[number].blocks.map(block => block.label).join(" + ");
const shapeText = number => {
  const [channels, height, width] = page.parts[number].in;
  return `in ${channels}x${height}x${width}`;
};
const difference = (a, b) => a === null || b === null ? null : b - a;
const differenceCell = (by, most) => {
  if (by === null) return html("td", {class: "r missing"}, "–");
  const share = most > 0 ? Math.min(Math.abs(by) / most, 1) : 0;
  return html("td", {class: "r diff"}, html("span", {class: by > 0 ? "slower" : "faster", style: `width:${(50 * share).toFixed(1)}%`}), html("b", {}, signedMs(by)));
};
const rowsOf = (a, b) => {
  const rows = [], count = Math.max(a.net.length, b.net.length);
  for (let stage = 0; stage < count; stage++) {
    const [left, right] = [a.net[stage] || [], b.net[stage] || []];
    for (let place = 0; place < Math.max(left.length, right.length); place++) {
      const name = stage === 0 ? "stem" : stage === count - 1 ? "head" : `stage${stage - 1}.block${place}`;
      rows.push({name, a: left[place] ?? null, b: right[place] ?? null});
    }
  }
  return rows;
};
const partCell = number => html("td", {class: "l"}, number === null ? html("span", {class: "missing"}, "no block") : [blockText(number), html("small", {}, shapeText(number))]);
const msCell = ms => html("td", {class: "r"}, ms === null ? html("span", {class: "missing"}, "–") : significant(ms, 3));

const blockTable = (a, b) => {
  // No block costs nothing; a block that the table lacks costs nobody knows what, and so does the whole.
  const device = state.device, rows = rowsOf(a, b), ms = number => number === null ? 0 : costOf(number, device);
  const hasMs = page.luts.length > device, fixed = page.fixed[device];
  const most = Math.max(...rows.map(row => Math.abs(difference(ms(row.a), ms(row.b)) ?? 0)), 0);
  const sum = side => rows.reduce((total, row) => total === null || ms(row[side]) === null ? null : total + ms(row[side]), fixed ?? 0);
  return html("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": "Blocks of both networks"}, html("table", {class: "blocks"},
    html("thead", {}, html("tr", {}, ["place", "A", hasMs && "A (ms)", "B", hasMs && "B (ms)", hasMs && "B − A (ms)"].filter(Boolean)
      .map(text => html("th", {scope: "col", class: text.endsWith("(ms)") ? "r" : "l"}, text)))),
    html("tbody", {}, rows.map(row => html("tr", {class: row.a === row.b ? "same" : "differs"},
      html("td", {class: "l"}, row.name),
      partCell(row.a), hasMs && msCell(row.a === null ? null : ms(row.a)), partCell(row.b), hasMs && msCell(row.b === null ? null : ms(row.b)),
      hasMs && differenceCell(difference(ms(row.a), ms(row.b)), most)))),
    hasMs ? html("tfoot", {}, html("tr", {}, html("th", {scope: "row", class: "l"}, fixed ? `all, with ${significant(fixed, 3)} ms for any network` : "all"),
      html("td"), msCell(sum("a")), html("td"), msCell(sum("b")), differenceCell(difference(sum("a"), sum("b")), Infinity))) : null));
};
const figureTable = (a, b) => html("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": "Figures of both networks"}, html("table", {class: "figures"},
  html("thead", {}, html("tr", {}, ["", "A", "B", "B over A"].map(text => html("th", {scope: "col", class: text ? "r" : "l"}, text)))),
  html("tbody", {}, axes.map((axis, number) => {
    const [one, other] = [valueOf(a, number), valueOf(b, number)];
    const ratio = isKnown(one) && isKnown(other) && one !== 0 ? (other / one - 1) * 100 : null;
    const change = ratio === null ? "–" : axis.key === "accuracy" ? signed((other - one) * 100) + " points" : signed(ratio) + " %";
    return html("tr", {}, html("th", {scope: "row", class: "l"}, axis.label), html("td", {class: "r"}, axisText(axis, one)), html("td", {class: "r"}, axisText(axis, other)), html("td", {class: "r"}, change));
  }))));
const signed = value => (value > 0 ? "+" : value < 0 ? "−" : "±") + Math.abs(value).toFixed(2);

const drawComparison = () => {
  const {a, b} = state, controls = [slotChoice("a"), slotChoice("b")];
  if (page.devices.length > 1 && page.luts.length > 1) {
    controls.push(choice("Milliseconds of", "pick-device", page.devices.map((name, number) => [number, name]), state.device, value => { state.device = Number(value); tell("compare"); tell("focus"); }));
  }
  controls.push(html("button", {type: "button", onclick: () => { [state.a, state.b] = [state.b, state.a]; tell("compare"); }}, "Swap"));
  const focused = comparison.contains(document.activeElement) ? document.activeElement.id : "";
  comparison.replaceChildren(html("div", {class: "toolbar"}, controls));
  if (focused) comparison.querySelector("#" + CSS.escape(focused))?.focus();
  if (!a || !b) return comparison.append(html("p", {class: "hint"}, "Pick two networks, here or in the figure above."));
  if (a.net.length && b.net.length) {
    const layout = sharedLayout([a, b], state.device), width = Math.max(260, Math.min(980, comparison.clientWidth));
    for (const [name, one] of [["A", a], ["B", b]]) {
      comparison.append(html("figure", {class: "pair"}, html("figcaption", {}, html("b", {}, name + " "), html("code", {}, one.id), " " + kindOf(one)), drawNetwork(one, {width, high: 80, low: 54, layout})));
    }
    comparison.append(netKey([a, b]));
  }
  comparison.append(figureTable(a, b));
  if (a.net.length && b.net.length) comparison.append(
    html("label", {class: "only"}, html("input", {type: "checkbox", id: "only", checked: comparison.classList.contains("only-differing"),
      onchange: event => comparison.classList.toggle("only-differing", event.target.checked)}), "only blocks that differ"),
    blockTable(a, b));
};
