// Where bars and lines go. Pure arithmetic: numbers in, numbers for SVG attributes out.

const round = (value) => Math.round(value * 100) / 100;

/** Points of a sparkline, its last point and the height of its first value as a base line. */
export function spark(values, width, height, pad = 2.5) {
  if (values.length < 2) return null;
  const low = Math.min(...values), size = Math.max(...values) - low || 1, last = values.length - 1;
  const y = (value) => round(height - pad - ((value - low) / size) * (height - 2 * pad));
  const x = (index) => round(pad + (index / last) * (width - 2 * pad));
  return { points: values.map((value, index) => `${x(index)},${y(value)}`).join(" "), x: x(last), y: y(values[last]), base: y(values[0]) };
}

/**
 * A stacked signed bar in percent of its width: shorts grow left of zero, longs right.
 * `marks` are further signed quantities that must fit on the same axis (before, after).
 */
export function diverge(quantities, marks = [], left = 1, right = 99) {
  const sum = (pick) => quantities.reduce((total, value) => total + pick(value, 0), 0);
  const low = Math.min(sum(Math.min), ...marks, 0), high = Math.max(sum(Math.max), ...marks, 0);
  const x = (value) => left + ((value - low) / (high - low || 1)) * (right - left);
  let short = 0, long = 0;
  const segments = quantities.map((quantity) => {
    const from = quantity < 0 ? short + quantity : long, to = quantity < 0 ? short : long + quantity;
    if (quantity < 0) short = from;
    else long = to;
    return { x: round(x(from)), width: round(x(to) - x(from)), middle: round((x(from) + x(to)) / 2), wide: x(to) - x(from) > 9 };
  });
  return { segments, zero: round(x(0)), marks: marks.map((mark) => round(x(mark))) };
}

/** Shares of a whole in percent of the bar's width; nothing at all gives empty widths. */
export function stack(values) {
  const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
  let at = 0;
  return values.map((value) => {
    const width = total ? (Math.max(0, value) / total) * 100 : 0;
    const part = { x: round(at), width: round(width), middle: round(at + width / 2) };
    at += width;
    return part;
  });
}

/** Fall from the highest value so far, in percent points (zero or below), for each [time, value]. */
export function drawdown(points) {
  let peak = -Infinity;
  return points.map(([time, value]) => {
    peak = Math.max(peak, value);
    return [time, peak > 0 ? (value / peak - 1) * 100 : 0];
  });
}
