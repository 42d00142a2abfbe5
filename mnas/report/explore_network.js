// A network drawn: above the line one box a block, the higher and wider the larger its output; below it what the
// latency table says that each part adds.
const OPS = ["conv", "sepconv", "mbconv", "fire", "ghost", "shufflev1", "shufflev2", "maxpool", "pool", "flatten", "linear"];
const costOf = (number, device) => { const ms = page.parts[number].ms[device]; return isKnown(ms) ? ms : null; };
const blockCount = stage => stage.reduce((sum, number) => sum + page.parts[number].blocks.length, 0);
const stageName = (stage, count) => stage === 0 ? "stem" : stage === count - 1 ? "head" : "stage " + (stage - 1);

const blocksOf = network => network.net.flatMap(
  stage => stage.flatMap(number => page.parts[number].blocks));

// What several drawings share, so that they can be compared: slots a stage, largest sizes, longest part.
const sharedLayout = (several, device) => {
  const stages = Math.max(...several.map(one => one.net.length));
  const slots = [];
  for (let stage = 0; stage < stages; stage++) {
    slots.push(Math.max(1, ...several.map(one => blockCount(one.net[stage] || []))));
  }
  const blocks = several.flatMap(blocksOf);
  const costs = several.flatMap(one => one.net.flat().map(number => costOf(number, device) || 0));
  return {
    slots, device,
    channels: Math.max(...blocks.map(block => block.out[0])),
    pixels: Math.max(...blocks.map(block => block.out[1])),
    ms: Math.max(...costs),
  };
};

const boxOf = (block, x, wide, base, high, layout) => {
  const width = Math.max(3, wide * (0.35 + 0.65 * Math.sqrt(block.out[0] / layout.channels)) - 1);
  const height = 4 + high * Math.sqrt(block.out[1] / layout.pixels);
  const left = x + (wide - width) / 2, top = base - height;
  const group = svg("g", {class: "box"},
    svg("rect", {class: "op " + (OPS.includes(block.op) ? block.op : ""), x: left, y: top, width, height, rx: 1.5}));
  if (block.skip) group.append(svg("path", {class: "skip", d: `M${left} ${top - 2}q${width / 2} -6 ${width} 0`}));
  if (block.se) group.append(svg("circle", {class: "se", cx: x + wide / 2, cy: top + Math.min(6, height / 2), r: Math.min(2.5, width / 2.5)}));
  return titled(group, `${block.label}, ${block.out.join("x")} out, ${grouped(block.macs)} MACs, ${grouped(block.params)} parameters`);
};

const drawNetwork = (network, {width = 340, high = 62, low = 44, layout = null, device = 0} = {}) => {
  const plan = layout || sharedLayout([network], device);
  const gap = 5, hasCosts = plan.ms > 0;
  const wide = (width - gap * (plan.slots.length - 1)) / plan.slots.reduce((sum, count) => sum + count, 0);
  const base = high + 26, height = base + 3 + (hasCosts ? low + 4 : 0);
  const drawing = svg("svg", {class: "net", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Network ${network.id} as a drawing`});
  let x = 0;
  network.net.forEach((stage, place) => {
    const last = page.parts[stage[stage.length - 1]];
    const room = wide * plan.slots[place];
    if (last) {
      const pixels = `${last.blocks[last.blocks.length - 1].out[1]}`;
      const label = room > pixels.length * 5.6 + 17 ? pixels + " px" : pixels;
      if (room > label.length * 5) drawing.append(svg("text", {x, y: 9, class: "px"}, label));
    }
    drawing.append(svg("path", {class: "base", d: `M${x} ${base + 0.5}h${room}`}));
    let at = x;
    for (const number of stage) {
      const part = page.parts[number], ms = costOf(number, plan.device), span = wide * part.blocks.length;
      part.blocks.forEach((block, index) => drawing.append(boxOf(block, at + index * wide, wide, base, high, plan)));
      if (hasCosts && ms !== null && ms > 0) {
        const bar = svg("rect", {class: "cost", x: at + 1, y: base + 3, width: Math.max(2, span - 2), height: low * ms / plan.ms});
        drawing.append(titled(bar, `${stageName(place, network.net.length)}: ${significant(ms, 3)} ms`));
      }
      at += span;
    }
    x += room + gap;
  });
  return drawing;
};

const netKey = several => {
  const blocks = several.flatMap(blocksOf);
  const found = OPS.filter(op => blocks.some(block => block.op === op));
  const items = found.map(op => html("li", {}, svg("svg", {class: "swatch", viewBox: "0 0 12 12"},
    svg("rect", {class: "op " + op, width: 12, height: 12, rx: 2})), op));
  if (blocks.some(block => block.se)) items.push(html("li", {}, svg("svg", {class: "swatch", viewBox: "0 0 12 12"},
    svg("g", {class: "net"}, svg("circle", {class: "se", cx: 6, cy: 6, r: 3}))), "squeeze-and-excitation"));
  if (blocks.some(block => block.skip)) items.push(html("li", {}, svg("svg", {class: "swatch", viewBox: "0 0 12 12"},
    svg("g", {class: "net"}, svg("path", {class: "skip", d: "M1 9q5 -8 10 0"}))), "adds its input"));
  items.push(html("li", {}, svg("svg", {class: "swatch", viewBox: "0 0 12 12"},
    svg("rect", {class: "cost", x: 3, width: 6, height: 12})), "below: ms by the table"));
  return html("ul", {class: "key"}, items);
};
