// What is laid out by what, and which networks are looked at.
const toolbar = html("div", {class: "toolbar"});
const chips = html("div", {class: "chips"});

const choice = (label, id, options, value, onchange) => html("label", {for: id}, label,
  html("select", {id, onchange: event => onchange(event.target.value)}, options.map(([key, text]) => option(key, text, String(key) === String(value)))));
const axisChoices = axes.map((axis, number) => [number, axis.label]);

// Numbers are typed as they are read: accuracies in percent.
const factorOf = axis => axis.key === "accuracy" ? 100 : 1;
const typed = (axis, value) => Number.isFinite(value) ? Number((value * factorOf(axis)).toPrecision(5)) : "";

const rangeInputs = axis => {
  const own = axes[axis], [low, high] = state.ranges.get(axis) || [-Infinity, Infinity];
  const input = (which, value) => html("input", {type: "number", step: "any", value: typed(own, value), "aria-label": `${own.label}, ${which}`,
    onchange: event => {
      const text = event.target.value, now = state.ranges.get(axis) || [-Infinity, Infinity];
      const given = text === "" ? null : Number(text) / factorOf(own);
      setRange(axis, which === "least" ? given ?? -Infinity : now[0], which === "least" ? now[1] : given ?? Infinity);
      filtered();
    }});
  return html("div", {class: "range"}, html("span", {}, own.key === "accuracy" ? own.label + " (%)" : own.label), input("least", low), "to", input("greatest", high));
};

const ranges = html("details", {class: "ranges"}, html("summary", {}, "Ranges"), html("div", {}));
const drawRanges = () => ranges.lastElementChild.replaceChildren(...axes.map((axis, number) => rangeInputs(number)));

const drawChips = () => {
  const found = [...state.ranges].map(([axis, [low, high]]) => html("button", {type: "button", class: "chip", "aria-label": `Remove the filter by ${axes[axis].label}`,
    onclick: () => { state.ranges.delete(axis); filtered(); }},
    `${axes[axis].label}: ${Number.isFinite(low) ? axisText(axes[axis], low) : "…"} to ${Number.isFinite(high) ? axisText(axes[axis], high) : "…"} ×`));
  if (isFiltered() || state.ranges.size) found.push(html("button", {type: "button", class: "chip all", onclick: () => clearFilters()}, "Show all"));
  chips.replaceChildren(html("output", {class: "count"}, `${grouped(shown.length)} of ${grouped(networks.length)} networks`), ...found);
};

const drawToolbar = () => {
  const kinds = Object.entries(KINDS).filter(([key, [, isOf]]) => key === "all" || networks.some(isOf)).map(([key, [text]]) => [key, text]);
  toolbar.replaceChildren(
    choice("Across", "axis-x", axisChoices, state.x, value => { state.x = Number(value); tell("axes"); }),
    choice("Up", "axis-y", axisChoices, state.y, value => { state.y = Number(value); tell("axes"); }),
    choice("Show", "kind", kinds, state.kind, value => { state.kind = value; filtered(); }),
    html("label", {for: "find"}, "Id", html("input", {id: "find", type: "search", size: 14, placeholder: "part of an id", value: state.text, spellcheck: "false",
      oninput: event => { state.text = event.target.value.trim().toLowerCase(); filtered(); }})),
    ranges);
  drawRanges();
};
// What is typed into stays; all else follows the state.
const followFilters = () => {
  const kind = toolbar.querySelector("#kind"), find = toolbar.querySelector("#find");
  kind.value = state.kind;
  if (find.value.trim().toLowerCase() !== state.text) find.value = state.text;
  if (!ranges.contains(document.activeElement)) drawRanges();
  drawChips();
};
