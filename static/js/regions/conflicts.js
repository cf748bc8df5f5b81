// Conflicts that are on now: who wants what, the rule, before and after. Read-only.
import { KeyedList, setAttribute, setHidden, setText, svg } from "../dom.js";
import { priceDigits, quantityDigits, sentence, stance, usd, number } from "../format.js";
import { diverge } from "../geometry.js";
import { hueClass, traderName } from "./shared.js";
import { t } from "../words.js";

const RULES = { combine: t("combine"), largest: t("largest"), first: t("first") };
const newestFirst = (a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0) || a.underlying.localeCompare(b.underlying);

function drawBar(node, conflict, label) {
  const before = Number(conflict.before), after = Number(conflict.after);
  const shape = diverge(conflict.holders.map((holder) => Number(holder.quantity)), [before, after]);
  const parts = [];
  conflict.holders.forEach((holder, index) => {
    const { x, width, middle, wide } = shape.segments[index], hue = hueClass(holder.hue);
    parts.push(svg("rect", { class: `${hue} ${holder.counted ? "seg-on" : "seg-off"}`, x: `${x}%`, y: 3, width: `${width}%`, height: 16 }));
    if (!wide) return;
    const text = svg("text", { class: `${hue} ${holder.counted ? "seg-text" : "seg-text-off"}`, x: `${middle}%`, y: 14.5 });
    text.textContent = holder.monogram;
    parts.push(text);
  });
  const [from, to] = shape.marks;
  parts.push(svg("line", { class: "diverge-zero", x1: `${shape.zero}%`, x2: `${shape.zero}%`, y1: 0, y2: 22 }));
  if (to !== shape.zero) parts.push(svg("line", { class: "diverge-net", x1: `${shape.zero}%`, x2: `${to}%`, y1: 27, y2: 27 }));
  parts.push(svg("circle", { class: "diverge-before", cx: `${from}%`, cy: 27, r: 3.5 }));
  parts.push(svg("circle", { class: "diverge-after", cx: `${to}%`, cy: 27, r: 3.5 }));
  node.replaceChildren(...parts);
  setAttribute(node, "aria-label", label);
}

/** One sentence a person can read: who, the rule, why less than wished. */
function why(conflict, view) {
  const overruled = conflict.holders.filter((holder) => !holder.counted).map((holder) => traderName(view, holder.follow_id));
  const parts = [t(conflict.kind === "opposed" ? "opposed sides" : "same side"), t("rule: {rule}", { rule: RULES[conflict.rule] ?? conflict.rule })];
  if (overruled.length) parts.push(t("{who} overruled", { who: overruled.join(t(" and ")) }));
  if (conflict.capped_reason) parts.push(t("limit: {reason}", { reason: conflict.capped_reason }));
  return `${sentence(parts.join(", "))}.`;
}

function fillConflict({ root, slots }, conflict, view) {
  const digits = quantityDigits(conflict.mark_price);
  setAttribute(root, "id", `conflict-${conflict.id}`);
  setText(slots.underlying, conflict.underlying);
  setText(slots.kind, t(conflict.kind === "opposed" ? "Opposed" : "Overlap"));
  setText(slots.before, stance(conflict.before, digits));
  setText(slots.after, stance(conflict.after, digits));
  setText(slots.value, Number(conflict.after_notional) ? usd(Math.abs(conflict.after_notional), 0) : "");
  const who = conflict.holders.map((holder) => `${traderName(view, holder.follow_id)} ${stance(holder.quantity, digits).toLowerCase()}${holder.counted ? "" : t(", overruled")}`);
  drawBar(slots.bar, conflict, `${conflict.underlying}: ${who.join("; ")}. ${t("Before {before}, after {after}.", { before: stance(conflict.before, digits), after: stance(conflict.after, digits) })}`);
  setText(slots.why, why(conflict, view));
  setAttribute(slots.why, "title", t("Mark {price}", { price: number(conflict.mark_price, priceDigits(conflict.mark_price)) }));
}

export class Conflicts {
  constructor(body) {
    this.list = new KeyedList(body, document.getElementById("conflict-row"), fillConflict, newestFirst);
  }

  /** `most` limits the first drawing to so many rows; the others come with a later call. */
  render(view, keys, most) {
    this.list.sync(view.conflicts, keys, view, most);
    const count = Object.keys(view.conflicts).length, badge = document.getElementById("conflicts-count");
    setText(badge.lastElementChild, String(count));
    setHidden(badge, !count);
    setHidden(document.getElementById("conflicts-empty"), Boolean(count));
    setHidden(document.getElementById("conflicts-foot"), !count);
  }
}

