// Numbers for people, as the page's other tables print them.
const decimals = (value, digits) => value === 0 ? 0 : Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value)) + 1e-9));
const significant = (value, digits = 4) => value.toFixed(Math.min(decimals(value, digits), 12));
const grouped = value => value.toLocaleString("en-US", {maximumFractionDigits: 0});
const percent = fraction => (100 * fraction).toFixed(2) + " %";

const isKnown = value => value !== null && value !== undefined;
const axisText = (axis, value) => {
  if (!isKnown(value)) return "–";
  if (axis.key === "accuracy") return percent(value);
  return axis.key.startsWith("latency") ? significant(value) : grouped(value);
};
// To the first digit of the half-width, so that no digit is shown that means nothing.
const withEnds = (value, ends) => {
  if (!isKnown(value)) return "–";
  if (!ends) return significant(value) + " ms";
  const half = (ends[1] - ends[0]) / 2;
  const places = half > 0 ? Math.min(Math.max(decimals(half, 1), decimals(value, 3)), decimals(value, 4)) : decimals(value, 4);
  const [shown, low, high] = [value, ends[0], ends[1]].map(one => one.toFixed(places));
  return `${shown} ms [${low}, ${high}]`;
};
const accuracyWithEnds = (value, ends) => {
  if (!isKnown(value)) return "–";
  return ends && ends[1] > ends[0] ? `${percent(value)} [${(100 * ends[0]).toFixed(2)}, ${(100 * ends[1]).toFixed(2)}]` : percent(value);
};
const signedMs = value => (value > 0 ? "+" : value < 0 ? "−" : "±") + significant(Math.abs(value), 3);
