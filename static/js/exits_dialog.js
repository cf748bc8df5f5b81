// The dialog in which a person changes what closes one position by itself. Only what was changed is asked for.
import { clone, setAttribute, setClass, setHidden, setText } from "./dom.js";
import { known, number, percent, priceDigits, signedPercent, signedUsd, span, usd } from "./format.js";
import { plain, typeable } from "./typed.js";
import { live } from "./live.js";
import { openDialog } from "./ask.js";
import { standingStop } from "./exit_rail.js";
import { drawExit } from "./regions/exits.js";
import { worldNow } from "./regions/shared.js";
import { t } from "./words.js";

const HOURS = 24, DAY_MS = 86_400_000, DAY_PLACES = 6;
const off = (value) => (!known(value) || Number(value) === 0 ? "" : value);

/** What the fields show of a position's exits: text, "" for a rule that is off. */
export function shownOf({ exits }) {
  const { rules } = exits, days = off(rules.time_stop_days), inHours = days !== "" && Number(days) % 1 !== 0;
  return {
    stop_price: exits.stop ?? "", trail_from_pct: off(rules.trail_from_pct), trail_by_pct: off(rules.trail_by_pct),
    time: inHours ? String(Number((Number(days) * HOURS).toFixed(4))) : days, unit: inHours ? "h" : "d",
    steps: rules.take_profit.map((step) => ({ at: step.price ?? step.gain_pct, unit: "price" in step ? "price" : "gain", part: step.fraction_pct })),
  };
}

/** The command's data: the position, and whatever differs between what was shown and what is typed. */
export function changesOf(id, shown, typed) {
  const data = { position_id: Number(id) };
  for (const name of ["stop_price", "trail_from_pct", "trail_by_pct"]) if (typed[name] !== shown[name]) data[name] = typed[name] === "" ? "0" : typed[name];
  if (typed.time !== shown.time || typed.unit !== shown.unit) data.time_stop_days = typed.time === "" ? "0" : daysOf(typed.time, typed.unit);
  if (JSON.stringify(typed.steps) !== JSON.stringify(shown.steps)) {
    data.take_profit = typed.steps.map(({ at, unit, part }) => ({ [unit === "price" ? "price" : "gain_pct"]: at, fraction_pct: part }));
  }
  return data;
}

// Hours become days as the server keeps them. What is no number goes as it is: the server says what is wrong with it.
function daysOf(time, unit) {
  if (unit === "d" || Number.isNaN(Number(time))) return time;
  return (Number(time) / HOURS).toFixed(DAY_PLACES).replace(/\.?0+$/, "");
}

/** Open the dialog of `data-position`. */
export function openExits({ dataset: { position: id } }) {
  const first = live.view.positions[id];
  if (!first?.exits) return;
  const { root, slots } = clone(document.getElementById("exits-dialog")), form = root.querySelector("form");
  const shown = asTyped(shownOf(first)), title = t(first.side === "SHORT" ? "Exits for {code} short" : "Exits for {code} long", { code: first.code });
  setText(slots.title, title);
  put(slots, shown, first);
  const show = () => {
    const position = live.view.positions[id], typed = typedOf(slots);
    setHidden(slots.gone, Boolean(position?.exits));
    slots.submit.disabled = !position?.exits || Object.keys(changesOf(id, shown, typed)).length < 2;
    slots.defaults.disabled = !position?.exits || !position.exits.own;
    if (position?.exits) hint(slots, position, typed, shown);
  };
  const listen = (touched) => (touched.has("positions") || touched.has("portfolio")) && !form.hasAttribute("aria-busy") && show();
  root.addEventListener("input", ({ target }) => {
    unblame(target.closest("[data-field]"));
    show();
  });
  root.addEventListener("click", ({ target }) => {
    if (target.closest("[data-slot=add]")) addStep(slots, { at: "", unit: "price", part: "100" }).focus();
    else if (target.closest("[data-remove]")) target.closest(".exit-step").remove();
    else return;
    show();
  });
  root.addEventListener("close", () => live.listeners.delete(listen));
  live.listeners.add(listen);
  show();
  const read = (button) => (button === slots.defaults ? { position_id: Number(id), use_defaults: true } : changesOf(id, shown, typedOf(slots)));
  openDialog(root, slots, { kind: "exits", title, read });
}

// What stands in a field before anybody typed is read like what is typed, so that only a change is a change.
function asTyped(shown) {
  const again = (value) => plain(typeable(value));
  const fields = ["stop_price", "trail_from_pct", "trail_by_pct", "time"].map((name) => [name, again(shown[name])]);
  return { ...shown, ...Object.fromEntries(fields), steps: shown.steps.map((step) => ({ ...step, at: again(step.at), part: again(step.part) })) };
}

function put(slots, shown, { exits }) {
  for (const [slot, name] of [["stop", "stop_price"], ["from", "trail_from_pct"], ["by", "trail_by_pct"], ["time", "time"], ["unit", "unit"]]) slots[slot].value = typeable(shown[name]);
  slots.stop.required = known(exits.stop); // one that stands can move, not vanish
  for (const step of shown.steps) addStep(slots, step);
}

function addStep(slots, { at, unit, part }) {
  const { root, slots: step } = clone(document.getElementById("exits-step"));
  step.at.value = typeable(at);
  step.unit.value = unit;
  step.part.value = typeable(part);
  slots.steps.append(root);
  return step.at;
}

function typedOf(slots) {
  const field = (node, name) => node.querySelector(`[data-slot=${name}]`).value;
  return {
    stop_price: plain(slots.stop.value), trail_from_pct: plain(slots.from.value), trail_by_pct: plain(slots.by.value), time: plain(slots.time.value), unit: slots.unit.value,
    steps: [...slots.steps.children].map((row) => ({ at: plain(field(row, "at")), unit: field(row, "unit"), part: plain(field(row, "part")) })),
  };
}

// ------------------------------------------------------------------ what it would come to, while it is typed
function hint(slots, position, typed, shown) {
  const at = measure(position);
  say(slots.stopHint, stopWords(at, typed, shown));
  say(slots.trailHint, trailWords(at, typed));
  say(slots.timeHint, timeWords(at, typed));
  say(slots.stepsHint, stepsWords(at, typed));
  setHidden(slots.add, slots.steps.children.length >= 10);
  drawExit(slots.rail, { ...position, exits: preview(at, typed) });
}

function measure(position) {
  const sign = position.side === "SHORT" ? -1 : 1, entry = Number(position.entry_price), digits = priceDigits(entry);
  return {
    position, sign, entry, mark: known(position.mark_price) ? Number(position.mark_price) : null, exits: position.exits,
    price: (value) => number(value, digits),
    gain: (price) => sign * (price / entry - 1) * 100,
    result: (price) => (price - entry) * Number(position.quantity),
    level: ({ at, unit }) => (unit === "price" ? Number(at) : entry * (1 + (sign * Number(at)) / 100)),
  };
}

const warn = (text) => ({ text, warn: true });
function say(node, words) {
  const { text, warn: bad = false } = typeof words === "string" ? { text: words } : words;
  setText(node, text);
  setClass(node, bad ? "hint warn" : "hint");
}

const worthWords = (outcome) => (outcome < 0 ? t("risks {amount}", { amount: usd(-outcome) }) : t("locks in {amount}", { amount: signedUsd(outcome) }));

function stopWords({ sign, mark, exits, price, gain, result }, { stop_price: typed }, shown) {
  if (typed === "") return t("No stop loss. Your loss is not bounded.");
  const stop = Number(typed);
  if (typed.includes(",")) return warn(t("This may mean two numbers: write {price}, say.", { price: number(1234.5, 2) }));
  if (!(stop > 0)) return warn(t("Write a price."));
  if (known(exits.stop) && (stop - Number(exits.stop)) * sign < 0) return warn(t("Looser than the stop at {price}. A stop only tightens.", { price: price(exits.stop) }));
  if (mark !== null && (mark - stop) * sign <= 0) return warn(t("The price is past it already. To close now, use Close."));
  const worth = worthWords(result(stop));
  const standing = standingStop({ ...exits, stop: typed }, sign);
  const covered = standing.trailing && typed !== shown.stop_price ? t("; the trailing stop at {price} is tighter", { price: price(exits.trail) }) : "";
  return t("{gain} from entry, {worth}", { gain: signedPercent(gain(stop)), worth }) + covered;
}

function trailWords({ entry, sign, exits, price, result }, { trail_from_pct: from, trail_by_pct: by }) {
  if (known(exits.trail)) {
    return t("Active. Now {price}, {worth}", { price: price(exits.trail), worth: worthWords(result(Number(exits.trail))) });
  }
  if (from === "" && by === "") return t("Off");
  if (!(Number(from) > 0) || !(Number(by) > 0)) return warn(t("It needs both numbers, or neither."));
  const start = entry * (1 + (sign * Number(from)) / 100);
  return t("From {price} on it stays {distance} behind the best price", { price: price(start), distance: percent(by, 2) });
}

function timeWords({ position }, { time, unit }) {
  if (time === "") return t("Off");
  const days = Number(daysOf(time, unit));
  if (!(days > 0)) return warn(t("Write a number."));
  const left_s = (new Date(position.exits.opened_at).getTime() + days * DAY_MS - worldNow(live.view.portfolio)) / 1000;
  return left_s > 0 ? t("{span} left", { span: span(left_s) }) : warn(t("That time is over: it would close at once."));
}

function stepsWords({ sign, mark, price, gain, result, level }, { stop_price: stop, steps }) {
  if (!steps.length) return t("No target");
  const risk = known(stop) && stop !== "" ? -result(Number(stop)) : 0;
  let left = 1, profit = 0;
  const words = [];
  for (const step of steps) {
    const at = level(step), part = Number(step.part) / 100;
    if (!(at > 0) || !(part > 0 && part <= 1)) return warn(t("Each step needs a price or gain, and a part of 1 to 100 %."));
    if (mark !== null && (mark - at) * sign >= 0) return warn(t("The price is at {price} or past it already: it would close at once.", { price: price(at) }));
    profit += result(at) * left * part;
    left *= 1 - part;
    words.push(t("{price} is {gain} from entry", { price: price(at), gain: signedPercent(gain(at)) }));
  }
  const ratio = risk > 0 ? t(", {ratio} times the risk", { ratio: number(profit / risk, 1) }) : "";
  return `${words.join("; ")}. ${t("{amount} in all", { amount: signedUsd(profit) })}${ratio}${left > 0 ? t(", {part} stays open", { part: percent(left * 100, 0) }) : ""}`;
}

/** The exits as the rail would show them with what is typed; what is no number yet leaves the rail as it is. */
function preview({ exits, level }, typed) {
  const stop = Number(typed.stop_price) > 0 ? typed.stop_price : typed.stop_price === "" ? null : exits.stop;
  const steps = typed.steps.filter((step) => level(step) > 0).map((step) => ({ price: String(level(step)), fraction_pct: step.part, done: false }));
  return { ...exits, stop, steps };
}

// ------------------------------------------------------------------ refusals at their field
/** Show the server's objections beside the fields they name; return those that name none of them. */
export function blame(root, errors) {
  const others = [];
  for (const [name, words] of Object.entries(errors)) {
    const field = root.querySelector(`[data-field~="${name}"]`);
    if (!field) {
      others.push(...[words].flat());
      continue;
    }
    const node = field.querySelector(".error");
    setText(node.lastElementChild, [words].flat().join(" "));
    setHidden(node, false);
    for (const input of field.querySelectorAll("input")) setAttribute(input, "aria-invalid", "true");
  }
  root.querySelector("[aria-invalid=true]")?.focus();
  return others;
}

function unblame(field) {
  if (!field) return;
  setHidden(field.querySelector(".error"), true);
  for (const input of field.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}
