// Which networks there are, which are looked at, and who wants to know when that changes.
const networks = page.networks.map((one, index) => ({...one, index, final: null}));
for (const final of page.finals) networks[final.n].final = final;
const axes = page.axes;
const byId = new Map(networks.map(network => [network.id, network]));

const state = {
  x: 0, y: 1,
  ranges: new Map(),  // number of an axis -> [least, greatest]
  kind: "all", text: "",
  focus: null, a: null, b: null,  // networks
  device: 0,
};
const listeners = [];
const onChange = listener => listeners.push(listener);
const tell = what => { for (const listener of listeners) listener(what); };

// What is known best of a network: after the last training and measurement as far as these were.
const valueOf = (network, axis) => {
  const final = network.final ? network.final.v[axis] : null;
  return isKnown(final) ? final : network.v[axis];
};
const KINDS = {
  all: ["all candidates", () => true],
  finals: ["finalists", network => network.final !== null],
  front: ["the front", network => network.final !== null && network.final.front],
  failed: ["failed candidates", network => "why" in network],
};
const isIn = network => {
  if (!KINDS[state.kind][1](network) || !network.id.includes(state.text)) return false;
  for (const [axis, [low, high]] of state.ranges) {
    const value = valueOf(network, axis);
    if (!isKnown(value) || value < low || value > high) return false;
  }
  return true;
};
let shown = networks.slice(), inside = new Set(shown);
const filtered = () => {
  shown = networks.filter(isIn);
  inside = new Set(shown);
  tell("filter");
};
const isFiltered = () => shown.length < networks.length;

const setRange = (axis, low, high) => {
  if (low === -Infinity && high === Infinity) state.ranges.delete(axis);
  else state.ranges.set(axis, [low, high]);
};
const clearFilters = () => { state.ranges.clear(); state.kind = "all"; state.text = ""; filtered(); };
const focusOn = network => {
  if (network === state.focus) return;
  state.focus = network;
  tell("focus");
};
// The older of the two gives way.
let older = "a";
const pin = (network, asked = null) => {
  const slot = asked || (state.a ? state.b ? older : "b" : "a");
  if (network === state.a || network === state.b) {
    if (!asked || state[slot] === network) return;
    [state.a, state.b] = [state.b, state.a];
  } else {
    state[slot] = network;
  }
  older = slot === "a" ? "b" : "a";
  tell("compare");
};
const kindOf = network => {
  if ("why" in network) return "failed";
  if (!network.final) return "candidate";
  if (network.final.best) return "front, best under the target";
  return network.final.front ? "front" : "finalist";
};
