// The exit rail: where a position stands between the price that closes it at a loss and the one that takes its profit.
//
// Pure arithmetic: a position of the view in, numbers and SVG path data out. The axis is the outcome of the position,
// left loses and right gains, for longs and shorts alike. Coordinates are those of viewBox="0 0 240 24"; strokes do
// not scale, so the rail may be stretched to any width.
import { known, number, percent, priceDigits, signedPercent } from "./format.js";
import { t } from "./words.js";

const LEFT = 7, RIGHT = 233, MIDDLE = 12;
const NO_TARGET_ROOM = 0.22; // of the rail, right of the price, where nothing is waited for
export const CLOSE_PCT = 1; // a stop this near to the price is said to be close

const asNumber = (value) => (known(value) ? Number(value) : null);
const round = (value) => Math.round(value * 10) / 10;

/** The stop that is hit first: {price, trailing}, or null where neither a stop loss nor a trailing stop stands. */
export function standingStop(exits, sign) {
  const stop = asNumber(exits.stop), trail = asNumber(exits.trail);
  if (stop === null && trail === null) return null;
  const trailing = trail !== null && (stop === null || (trail - stop) * sign >= 0);
  return { price: trailing ? trail : stop, text: trailing ? exits.trail : exits.stop, trailing };
}

/** Steps of take profit still to come, with a price: [{price, text, fraction_pct}], nearest first. */
export function stepsAhead(exits) {
  return exits.steps.filter(({ done, price }) => !done && known(price)).map(({ price, fraction_pct }) => ({ price: Number(price), text: price, fraction_pct: Number(fraction_pct) }));
}

/**
 * Everything the rail of a position shows, or null where nothing guards it or no entry is known.
 *
 * Outcomes are fractions of the entry price, positive is a gain; distances are percent of the mark.
 */
export function railOf(position) {
  const { exits } = position, entry = asNumber(position.entry_price);
  if (!exits || !entry) return null;
  const sign = position.side === "SHORT" ? -1 : 1, mark = asNumber(position.mark_price);
  const outcome = (price) => (price === null ? null : sign * (price / entry - 1));
  const stop = standingStop(exits, sign), steps = stepsAhead(exits);
  const away = (price) => (mark ? Math.abs(price / mark - 1) * 100 : null);
  const first = stop && known(exits.first_stop) && exits.first_stop !== stop.text ? outcome(Number(exits.first_stop)) : null;
  return {
    sign, entry, mark, stop, steps,
    at: { stop: stop && outcome(stop.price), first, mark: outcome(mark), peak: outcome(asNumber(exits.peak)), steps: steps.map(({ price }) => outcome(price)) },
    stopAway: stop && away(stop.price),
    targetAway: steps.length ? away(steps[0].price) : null,
    locked: stop !== null && outcome(stop.price) > 0,
  };
}

/** Path data of every part of a rail, "" where it is not shown. */
export function railPaths({ stop, at }) {
  const shown = [at.stop, at.first, at.mark, at.peak, 0, ...at.steps].filter((value) => value !== null);
  const low = Math.min(...shown);
  let high = Math.max(...shown);
  if (!at.steps.length) high += (high - low) * NO_TARGET_ROOM;
  const size = high - low || 1;
  const x = (value) => round(LEFT + ((value - low) / size) * (RIGHT - LEFT));
  const bar = (from, to) => (from === to ? "" : `M${x(from)} ${MIDDLE}H${x(to)}`);
  const where = (value, path) => (value === null ? "" : path(x(value)));
  const last = at.steps.length - 1, mark = where(at.mark, (middle) => `M${middle} ${MIDDLE}h0`);
  return {
    track: bar(Math.min(at.first ?? at.stop ?? low, at.stop ?? low), high),
    gain: at.mark !== null && at.mark > 0 ? bar(0, at.mark) : "",
    loss: at.mark !== null && at.mark < 0 ? bar(at.mark, 0) : "",
    locked: at.stop !== null && at.stop > 0 ? bar(0, at.mark === null ? at.stop : Math.min(at.stop, at.mark)) : "",
    ghost: where(at.first, (left) => `M${left + 3} 7h-3v10h3`),
    entry: `M${x(0)} 6v12`,
    peak: where(at.peak, (middle) => `M${middle - 3.5} 2h7l-3.5 5z`),
    stop: where(at.stop, (left) => `M${left + 4} 5h-4v14h4${stop.trailing ? "m-.5-9.5 2.5 2.5-2.5 2.5" : ""}`),
    target: at.steps.map((step, index) => (index === last ? `M${x(step) - 4} 5h4v14h-4` : `M${x(step)} 7v10`)).join(""),
    halo: mark,
    mark,
  };
}

/** The words under a rail and for who cannot see it: {stop, stopAway, target, targetAway, close, label}. */
export function railWords(rail, position) {
  const digits = priceDigits(rail.entry), price = (value) => number(value, digits);
  const several = rail.steps.length > 1 || (rail.steps.length === 1 && rail.steps[0].fraction_pct < 100);
  const step = rail.steps[0];
  const words = {
    stop: rail.stop ? t(rail.stop.trailing ? "Trail {price}" : "Stop {price}", { price: price(rail.stop.price) }) : t("no stop"),
    stopAway: rail.stop && rail.stopAway !== null ? signedPercent(-rail.stopAway, 1) : "",
    target: step ? (several ? t("{price} Target {part}", { price: price(step.price), part: percent(step.fraction_pct, 0) }) : t("{price} Target", { price: price(step.price) })) : t("no target"),
    targetAway: step && rail.targetAway !== null ? signedPercent(rail.targetAway, 1) : "",
    close: rail.stopAway !== null && rail.stopAway <= CLOSE_PCT,
  };
  const parts = [
    rail.stop ? t(rail.stop.trailing ? "Trailing stop {price}" : "Stop {price}", { price: price(rail.stop.price) }) + awayWords(rail.stopAway) : t("No stop"),
    t("entry {price}", { price: price(rail.entry) }),
    rail.mark === null ? t("mark unknown") : t("mark {price}", { price: price(rail.mark) }),
    t("peak {price}", { price: price(position.exits.peak) }),
    step ? t("take-profit {price}", { price: price(step.price) }) + awayWords(rail.targetAway) + (several ? t(" for {part}", { part: percent(step.fraction_pct, 0) }) : "") : t("no take-profit"),
  ];
  if (rail.locked) parts.push(t("gain locked in"));
  if (position.mark_stale) parts.push(t("price is stale"));
  return { ...words, label: parts.join(", ") };
}

const awayWords = (away) => (away === null ? "" : t(" ({distance} away)", { distance: percent(away, 1) }));

/** How far the time stop has run: {share, of_s} of its span, or null without one. Times are world time. */
export function timeStop(exits, now_ms) {
  if (!exits?.time_stop_at) return null;
  const from = new Date(exits.opened_at).getTime(), until = new Date(exits.time_stop_at).getTime();
  return { share: Math.min(1, Math.max(0, (now_ms - from) / (until - from || 1))), of_s: (until - from) / 1000, left_s: (until - now_ms) / 1000 };
}
