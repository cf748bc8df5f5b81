// Aggregated positions: one row per underlying, chips for whose they are, a detail row per position on demand.
import { DRAWN, KeyedList, clone, element, setAttribute, setClass, setHidden, setText, setTick } from "../dom.js";
import { timeStop } from "../exit_rail.js";
import { drawExit } from "./exits.js";
import { UNKNOWN, dayMinute, days, known, number, percent, priceDigits, quantityDigits, secondsBetween, signed, signedPercent, span, stance, tone, zoned } from "../format.js";
import { setSide, sharePct, tile, traderName, worldNow } from "./shared.js";
import { t } from "../words.js";

const STATES = { opening: t("opening"), closing: t("closing"), partial_exit: t("partial exit") };
const LATE = 0.9; // of a time stop's span
const bySize = (a, b) => Math.abs(Number(b.notional)) - Math.abs(Number(a.notional)) || Number(a.id) - Number(b.id);

function fillChips(node, position, digits, view) {
  const key = position.slices.map((slice) => `${slice.follow_id} ${slice.monogram} ${slice.share_pct} ${slice.quantity}`).join();
  if (node[DRAWN] === key) return;
  node[DRAWN] = key;
  node.replaceChildren(...position.slices.map((slice) => {
    const chip = element("span"), name = traderName(view, slice.follow_id);
    chip.title = `${name}: ${stance(slice.quantity, digits)}`;
    chip.append(tile(slice, name), sharePct(slice.share_pct));
    return chip;
  }));
}

function fillSlices(row, position, view, digits) {
  const body = row.extra.querySelector("tbody");
  body.replaceChildren(...position.slices.map((slice) => {
    const line = element("tr"), name = element("th", "c-lead");
    name.scope = "row";
    const who = element("span", "row-s");
    who.append(tile(slice), traderName(view, slice.follow_id));
    name.append(who);
    line.append(name);
    const cell = (label, text, className = "") => {
      const td = element("td", "num"), inner = element("span", className, text);
      td.dataset.label = label;
      td.append(inner);
      line.append(td);
    };
    cell(t("Quantity"), stance(slice.quantity, digits));
    cell(t("Share"), sharePct(slice.share_pct));
    cell(t("Unrealized"), signed(slice.unrealized_pnl), tone(slice.unrealized_pnl));
    cell(t("Realized"), signed(slice.realized_pnl), tone(slice.realized_pnl));
    return line;
  }));
}

function toggleSlices(row, template, view) {
  const button = row.slots.more;
  if (row.extra) {
    row.extra.remove();
    row.extra = null;
  } else {
    row.extra = clone(template).root;
    row.extra.id = `slices-${row.entity.id}`;
    row.root.after(row.extra);
    fillSlices(row, row.entity, view, quantityDigits(row.entity.mark_price));
  }
  setAttribute(button, "aria-expanded", String(Boolean(row.extra)));
  setAttribute(button, "aria-controls", row.extra?.id);
}

function fillIdentity({ root, slots }, position, view) {
  setAttribute(root, "id", `pos-${position.id}`);
  setText(slots.code, position.code);
  setAttribute(slots.code, "href", `/portfolios/${view.portfolio.id}/positions/${position.id}/`);
  setSide(slots.side, position.side);
  setText(slots.leverage, known(position.leverage) && Number(position.leverage) > 0 ? `${number(position.leverage, 1)}x` : "");
  const closing = position.status && !["active", "closed"].includes(position.status.toLowerCase());
  setHidden(slots.status, !closing);
  if (closing) setText(slots.status, STATES[position.status.toLowerCase()] ?? position.status.replaceAll("_", " ").toLowerCase());
  setAttribute(slots.close, "data-position", position.id);
  setAttribute(slots.close, "aria-label", t("Close {code}", { code: position.code }));
  setAttribute(slots.exits, "data-position", position.id);
  setAttribute(slots.exits, "aria-label", t("Edit exits for {code}", { code: position.code }));
  setAttribute(slots.more, "aria-label", t("Traders in {code}", { code: position.code }));
}

function fillPosition(row, position, view) {
  const { root, slots } = row;
  const price = priceDigits(position.entry_price ?? position.mark_price), digits = quantityDigits(position.entry_price ?? position.mark_price);
  fillIdentity(row, position, view);
  root.dataset.side = position.side;
  setText(slots.quantity, number(Math.abs(position.quantity), digits));
  setAttribute(slots.quantity, "title", position.quantity);
  setText(slots.working, position.working_orders ? t("{count} working", { count: position.working_orders }) : "");
  setText(slots.notional, number(Math.abs(position.notional), 0));
  setText(slots.share, percent(position.share_pct, 1));
  setText(slots.entry, known(position.entry_price) ? number(position.entry_price, price) : UNKNOWN);
  setText(slots.liquidation, known(position.liquidation_price) ? t("liq. {price}", { price: number(position.liquidation_price, price) }) : "");
  setTick(slots.mark, position.mark_price, known(position.mark_price) ? number(position.mark_price, price) : UNKNOWN);
  setClass(slots.mark, position.mark_stale ? "stale" : "");
  setText(slots.age, position.mark_stale ? t("stale") : "");
  setAttribute(slots.mark, "title", position.mark_at ? t("Price of {time}", { time: zoned(dayMinute(position.mark_at)) }) : null);
  setTick(slots.pnl, position.unrealized_pnl, signed(position.unrealized_pnl));
  setClass(slots.pnl.parentElement, tone(position.unrealized_pnl));
  setText(slots.pnlPct, signedPercent(position.unrealized_pct));
  fillChips(slots.traders, position, digits, view);
  drawExit(slots.exit, position);
  setHidden(slots.exits, !position.exits);
  fillHeld(row, view);
  if (row.extra) fillSlices(row, position, view, digits);
}

function fillHeld({ slots, entity }, view) {
  const now = worldNow(view.portfolio), limit = timeStop(entity.exits, now);
  setText(slots.held, entity.opened_at ? span(secondsBetween(entity.opened_at, now)) : UNKNOWN);
  setAttribute(slots.held, "title", entity.opened_at ? t("Since {time}", { time: zoned(dayMinute(entity.opened_at)) }) : null);
  setText(slots.heldOf, limit ? t("of {span}", { span: days(limit.of_s) }) : "");
  setAttribute(slots.heldBar, "hidden", limit ? null : "");
  if (!limit) return;
  const path = `M0 1.5h${Math.round(limit.share * 100)}`;
  if (slots.heldBar[DRAWN] === path) return;
  slots.heldBar[DRAWN] = path;
  slots.heldBar.lastElementChild.setAttribute("d", path);
  setClass(slots.heldBar, limit.share >= LATE ? "held-bar is-late" : "held-bar");
}

export class Positions {
  constructor(body, view) {
    this.template = document.getElementById("slices-row");
    this.list = new KeyedList(body, document.getElementById("position-row"), fillPosition, bySize);
    this.panel = body.closest(".panel");
    body.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-slot=more]");
      if (button) toggleSlices(this.list.rows.get(button.closest("tr").id.slice(4)), this.template, this.view ?? view);
    });
    this.panel.querySelector("[data-filter=side]")?.addEventListener("click", ({ target }) => {
      const value = target.closest("button")?.value;
      if (value === undefined) return;
      if (value) this.panel.dataset.show = value;
      else delete this.panel.dataset.show;
    });
  }

  /** `most` limits the first drawing to so many rows; the others come with a later call. */
  render(view, keys, most) {
    this.view = view;
    this.list.sync(view.positions, keys, view, most);
    const count = Object.keys(view.positions).length;
    setText(document.getElementById("positions-count"), count ? t("{count} open", { count }) : "");
    setHidden(document.getElementById("positions-table"), !count);
    setHidden(document.getElementById("positions-empty"), Boolean(count));
  }

  /** Time passed: only how long positions have been held changes. */
  tick() {
    for (const row of this.list.rows.values()) fillHeld(row, this.view);
  }

  renderTotals({ kpis, positions }) {
    const sum = (field) => Object.values(positions).reduce((total, position) => total + Number(position[field] ?? 0), 0);
    const unrealized = sum("unrealized_pnl"), realized = sum("realized_pnl");
    setText(document.getElementById("total-notional"), number(kpis.gross, 0));
    for (const [id, value] of [["total-unrealized", unrealized], ["total-realized", realized]]) {
      const node = document.getElementById(id);
      setText(node, signed(value));
      setClass(node, tone(value));
    }
  }
}

