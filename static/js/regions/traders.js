// The traders a portfolio follows: cards on the portfolio page, rows on the traders page.
import { KeyedList, setAttribute, setClass, setHidden, setText, setTick } from "../dom.js";
import { known, number, percent, secondsBetween, signed, signedPercent, span, tone, usd } from "../format.js";
import { fillAllocation, fillSpark, fillSync, hueClass, positions, serverNow } from "./shared.js";
import { plural, t } from "../words.js";

const byOrder = (a, b) => a.order - b.order || Number(a.follow_id) - Number(b.follow_id);

function fillWho(slots, trader) {
  setClass(slots.tile, `tile lg ${hueClass(trader.hue)}`);
  setText(slots.tile, trader.monogram);
  setText(slots.name, trader.name);
  const link = slots.who ?? slots.name; // to the trader's own page
  setAttribute(link, "href", link.dataset.href.replace("/0/", `/${trader.follow_id}/`));
  setText(slots.detail, trader.detail);
  setAttribute(slots.detail, "title", trader.key);
}

// What a strategy said last: "BTC buy, ETH hold"; empty for everybody else.
const SAYS = { buy: t("buy"), sell: t("sell"), hold: t("hold") };
const said = ({ signals }) => (signals ?? []).map(({ code, side }) => `${code} ${SAYS[side.toLowerCase()] ?? side.toLowerCase()}`).join(", ");

// How near our fills come to the trader's own prices; positive is worse for us.
const bps = (value) => t("{value} bps", { value: signed(value, 1) });
function fidelity(found) {
  const parts = t("delay {delay}, execution {execution}, fee {fee}", { delay: signed(found.delay_bps, 1), execution: signed(found.execution_bps, 1), fee: signed(found.fee_bps, 1) });
  const missed = known(found.unsized_pct) ? t("; {part} not copied", { part: percent(found.unsized_pct, 1) }) : "";
  return t("Fidelity {middle}, {high} at 95 %: {parts} ({fills})", { middle: bps(found.p50_bps), high: signed(found.p95_bps, 1), parts: parts + missed, fills: plural(found.fills, "fill") });
}

// A trader that trades otherwise than it used to, and what its owner wants done then.
const changes = ({ style }) => (style ?? []).map(({ text }) => text).join("; ");
function fillStyle(slots, trader) {
  setText(slots.style, changes(trader) ? t("Changed its style: {changes}", { changes: changes(trader) }) : "");
  setHidden(slots.style, !changes(trader));
}

function fillCard({ root, slots }, trader) {
  setAttribute(root, "id", `trader-${trader.follow_id}`);
  fillWho(slots, trader);
  setText(slots.weight, percent(trader.weight_pct));
  setText(slots.assigned, usd(trader.assigned, 0));
  setTick(slots.pnl, trader.total_pnl, signed(trader.total_pnl));
  setClass(slots.pnl, tone(trader.total_pnl));
  setText(slots.pnlPct, known(trader.total_pnl_pct) ? t("{result} for you", { result: signedPercent(trader.total_pnl_pct) }) : t("for you"));
  setText(slots.own, signedPercent(trader.trader_return_pct));
  setClass(slots.own, tone(trader.trader_return_pct));
  fillSpark(slots.spark, trader.sparkline, 190, 26);
  setHidden(slots.fidelityRow, !trader.fidelity);
  setText(slots.fidelity, trader.fidelity ? bps(trader.fidelity.p50_bps) : "");
  setAttribute(slots.fidelity, "title", trader.fidelity ? fidelity(trader.fidelity) : null);
  fillSync(slots.sync, trader);
  setText(slots.positions, positions(trader.position_count));
  fillStyle(slots, trader);
  setText(slots.said, said(trader));
  setHidden(slots.said, !said(trader));
}

// A failing trader's next read stands with its state.
function nextRead(trader) {
  const reading = trader.follow_status === "active" && trader.sync_status === "active" && trader.next_sync_at;
  const left = reading ? secondsBetween(serverNow(), trader.next_sync_at) : 0;
  return left > 0 ? t("next in {span}", { span: span(left) }) : "";
}

function fillRow({ root, slots }, trader, view) {
  setAttribute(root, "id", `follow-${trader.follow_id}`);
  fillWho(slots, trader);
  fillSync(slots.sync, trader);
  const failing = known(trader.error_rate_pct) && Number(trader.error_rate_pct) > 0;
  setText(slots.errors, failing ? t("{part} of reads failed in the last hour", { part: percent(trader.error_rate_pct, 1) }) : "");
  setText(slots.next, nextRead(trader));
  setText(slots.note, trader.note ?? "");
  setAttribute(slots.note, "title", trader.note || null);
  setText(slots.fidelity, trader.fidelity ? fidelity(trader.fidelity) : "");
  fillStyle(slots, trader);
  setHidden(slots.normal, !changes(trader));
  setAttribute(slots.normal, "aria-label", t("This is the new normal of {name}", { name: trader.name }));
  const blocks = trader.style_action === "block";
  setAttribute(slots.onStyle, "value", blocks ? "warn" : "block");
  setAttribute(slots.onStyle, "title", t(blocks ? "Now: nothing is opened for it after a change of style" : "Now: you are only told of a change of style"));
  setText(slots.onStyle, t(blocks ? "Only warn on a style change" : "Block on a style change"));
  setHidden(slots.signals, trader.kind !== "strategy");
  setText(slots.signals, said(trader) ? t("Signals: {said}", { said: said(trader) }) : t("Signals"));
  setAttribute(slots.signals, "href", slots.signals.dataset.href.replace("/0/", `/${trader.follow_id}/`));
  setText(slots.weight, percent(trader.weight_pct));
  setText(slots.assigned, usd(trader.assigned, 0));
  setText(slots.equity, usd(trader.equity, 0));
  setText(slots.day, signedPercent(trader.day_return_pct));
  setClass(slots.day, tone(trader.day_return_pct));
  setText(slots.own, known(trader.trader_return_pct) ? t("{result} in all", { result: signedPercent(trader.trader_return_pct) }) : "");
  setTick(slots.pnl, trader.total_pnl, signed(trader.total_pnl));
  setClass(slots.pnl, tone(trader.total_pnl));
  setText(slots.pnlPct, signedPercent(trader.total_pnl_pct));
  setText(slots.drawdown, known(trader.max_drawdown_pct) ? percent(-Math.abs(trader.max_drawdown_pct)) : percent(null));
  setText(slots.exposure, known(trader.exposure) ? `${number(trader.exposure)}x` : percent(null));
  setText(slots.positions, positions(trader.position_count));
  fillSpark(slots.spark, trader.sparkline, 96, 26);
  fillActions(root, slots, trader, view);
}

const VERBS = {
  pause: ({ name }) => t("Pause {name}", { name }), resume: ({ name }) => t("Resume {name}", { name }), remove: ({ name }) => t("Remove {name}", { name }),
  up: ({ name }) => t("Move {name} up", { name }), down: ({ name }) => t("Move {name} down", { name }),
};

// The template's forms carry the token of this page; only the trader's number differs. Pause and resume are commands.
function fillActions(root, slots, trader, view) {
  const { follow_status: status } = trader, order = Object.values(view.traders).sort(byOrder);
  for (const form of root.querySelectorAll("form[data-action]")) setAttribute(form, "action", form.dataset.action.replace("/0/", `/${trader.follow_id}/`));
  setHidden(slots.pause, status !== "active");
  setHidden(slots.resume, status !== "paused");
  setHidden(slots.remove, status === "leaving");
  slots.up.disabled = order[0]?.follow_id === trader.follow_id;
  slots.down.disabled = order.at(-1)?.follow_id === trader.follow_id;
  for (const [slot, words] of Object.entries(VERBS)) setAttribute(slots[slot], "aria-label", words(trader));
  for (const slot of ["pause", "resume"]) {
    setAttribute(slots[slot], "data-data", `{"follow_id":${trader.follow_id}}`);
    setAttribute(slots[slot], "data-title", VERBS[slot](trader));
  }
}

class TraderList {
  constructor(body, template, fill) {
    this.list = new KeyedList(body, document.getElementById(template), fill, byOrder);
  }

  /** Order and end buttons depend on the neighbours, so every row is looked at when one changes. */
  render(view, keys) {
    this.list.sync(view.traders, keys && keys.size < Object.keys(view.traders).length ? keys : null, view);
    this.onCount?.(Object.values(view.traders));
  }

  /** Ages grow without news. */
  tick() {
    for (const { slots, entity } of this.list.rows.values()) fillSync(slots.sync, entity);
  }
}

export class TraderCards extends TraderList {
  constructor(body) {
    super(body, "trader-card", fillCard);
  }

  onCount(traders) {
    setHidden(document.getElementById("traders-empty"), traders.length > 0);
    setText(document.getElementById("traders-count"), traders.length ? t("{count} of up to 10", { count: traders.length }) : "");
  }
}

export class TraderRows extends TraderList {
  constructor(body) {
    super(body, "follow-row", fillRow);
    body.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-slot=remove]");
      if (button) askRemove(this.list.rows.get(button.closest("tr").id.slice(7)).entity);
    });
  }

  render(view, keys) {
    super.render(view, view.traders && keys ? null : keys);
    const active = Object.values(view.traders).filter((trader) => trader.follow_status === "active").sort(byOrder);
    fillAllocation(document.getElementById("allocation-bar"), active.map((trader) => ({ ...trader, weight: Number(trader.weight_pct) })));
    setAttribute(document.getElementById("allocation-bar"), "aria-label", active.map((trader) => `${trader.name} ${percent(trader.weight_pct)}`).join(", ") || t("Nobody active"));
    const total = active.reduce((sum, trader) => sum + Math.round(Number(trader.weight_pct) * 100), 0);
    setText(document.getElementById("allocation-total"), percent(total / 100));
    setText(document.getElementById("allocation-active"), view.portfolio.weighting === "custom" ? t("{count} active", { count: active.length }) : t("{count} active, {share} each", { count: active.length, share: percent(active.length ? 100 / active.length : 0) }));
  }

  onCount(traders) {
    const followed = traders.length;
    setText(document.getElementById("followed-count"), t("{count} of up to 10", { count: followed }));
    setHidden(document.getElementById("followed-empty"), followed > 0);
    setHidden(document.getElementById("followed-table"), followed === 0);
    setHidden(document.getElementById("not-diversified"), followed !== 1);
  }
}

function askRemove(trader) {
  const dialog = document.getElementById("remove-follow"), form = dialog.querySelector("form");
  setAttribute(form, "action", form.dataset.action.replace("/0/", `/${trader.follow_id}/`));
  for (const node of dialog.querySelectorAll("[data-name]")) setText(node, trader.name);
  dialog.showModal();
}
