// An axis from data to 0..1 and back, with ticks.
const STEPS = [1, 2, 2.5, 5, 10];
const MANTISSAS = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]];

const linearTicks = (low, high, count) => {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * STEPS.find(factor => factor * power >= rough * (1 - 1e-9));
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high * (1 + 1e-12); index++) {
    found.push(Number((index * step).toPrecision(12)));
  }
  return found;
};
const logTicks = (low, high, count) => {
  let best = [];
  for (const mantissas of MANTISSAS) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const mantissa of mantissas) found.push(Number((mantissa * 10 ** power).toPrecision(12)));
    }
    const inside = found.filter(value => value >= low && value <= high);
    if (best.length < 3 || inside.length <= count) best = inside;
  }
  return best.length >= 3 ? best : linearTicks(low, high, count);
};

const makeScale = (values, wantsLog) => {
  let low = values.length ? Math.min(...values) : 0, high = values.length ? Math.max(...values) : 1;
  const log = wantsLog && low > 0;
  if (log) {
    const pad = Math.max((Math.log10(high) - Math.log10(low)) * 0.05, high > low ? 0 : 0.1);
    [low, high] = [low / 10 ** pad, high * 10 ** pad];
  } else {
    const pad = high > low ? (high - low) * 0.05 : Math.abs(high) * 0.05 || 1;
    [low, high] = [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
  }
  const on = value => log ? Math.log10(value) : value;
  const [first, span] = [on(low), on(high) - on(low)];
  return {
    low, high, log,
    fraction: value => (on(value) - first) / span,
    value: fraction => log ? 10 ** (first + fraction * span) : first + fraction * span,
    ticks: count => log ? logTicks(low, high, count) : linearTicks(low, high, count),
  };
};
