// What happened, newest first, and the orders that are still working.
import { DRAWN, KeyedList, setAttribute, setClass, setHidden, setIcon, setText } from "../dom.js";
import { clock, dayMinute, fullMinute, known, number, percent, priceDigits, quantityDigits, secondsBetween, sentence, span, zoned } from "../format.js";
import { serverNow, tile } from "./shared.js";
import { t } from "../words.js";

const ICONS = {
  fill: "circle-check", order: "circle", copied: "copy", merged: "git-merge", capped: "scale", delayed: "clock", refused: "ban", held: "hourglass",
  conflict: "git-merge", approval: "git-merge", follow: "users", cash: "wallet", sync: "rotate-cw", liquidation: "triangle-alert", exit: "shield-check", settings: "sliders-horizontal", run: "history",
};
const KINDS = {
  fill: t("Fill"), order: t("Order"), copied: t("Copied"), merged: t("Merged"), capped: t("Capped"), delayed: t("Delayed"), refused: t("Refused"), held: t("Held"),
  conflict: t("Conflict"), approval: t("Approval"), follow: t("Follow"), cash: t("Cash"), sync: t("Sync"), liquidation: t("Liquidation"), exit: t("Exit"),
  settings: t("Settings"), run: t("Run"),
};
const GROUPS = {
  fill: "fills", order: "fills", liquidation: "fills", exit: "fills", copied: "decisions", merged: "decisions", capped: "decisions", delayed: "decisions",
  refused: "decisions", held: "decisions", conflict: "conflicts", approval: "conflicts",
};
const newestFirst = (a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0) || Number(b.id) - Number(a.id) || String(b.id).localeCompare(String(a.id));

function fillActivity({ root, slots }, entry, view) {
  const replayed = view.portfolio.world?.startsWith("replay") && entry.world_at;
  root.dataset.group = GROUPS[entry.kind] ?? "other";
  setAttribute(slots.time, "datetime", replayed ? entry.world_at : entry.at);
  setText(slots.time, replayed ? dayMinute(entry.world_at) : isToday(entry.at) ? clock(entry.at) : dayMinute(entry.at));
  setAttribute(slots.time, "title", t(replayed ? "World time. Happened {time}" : "{time}", { time: zoned(`${dayMinute(entry.at)}:${clock(entry.at).slice(6)}`) }));
  setIcon(slots.icon, ICONS[entry.kind] ?? "circle");
  setText(slots.kind, `${KINDS[entry.kind] ?? sentence(entry.kind)}: `);
  setText(slots.text, entry.text);
  setText(slots.detail, entry.detail ?? "");
  const key = entry.follow_ids.join();
  if (slots.tiles[DRAWN] === key) return;
  slots.tiles[DRAWN] = key;
  const holders = entry.follow_ids.map((id) => view.traders[id]).filter(Boolean);
  slots.tiles.replaceChildren(...holders.map((trader) => tile(trader, trader.name)));
}

const isToday = (iso) => fullMinute(iso).slice(0, -5) === fullMinute(serverNow()).slice(0, -5);

export class Activity {
  constructor(body) {
    this.list = new KeyedList(body, document.getElementById("activity-row"), fillActivity, newestFirst);
    this.panel = body.closest(".panel");
    this.body = body;
    this.panel.querySelector("[data-filter=kind]")?.addEventListener("click", ({ target }) => {
      const value = target.closest("button")?.value;
      if (value === undefined) return;
      this.show = value;
      if (value) this.panel.dataset.show = value;
      else delete this.panel.dataset.show;
      this.#empty();
    });
  }

  render(view, keys) {
    this.list.sync(view.activity, keys, view);
    // A fast replay would read out line after line; there the log stays quiet unless asked.
    setAttribute(this.body, "aria-live", Number(view.portfolio.world_speed ?? 1) > 1 ? "off" : "polite");
    this.#empty();
  }

  #empty() {
    const rows = [...this.list.rows.values()].filter(({ root }) => !this.show || root.dataset.group === this.show);
    setHidden(document.getElementById("activity-empty"), rows.length > 0);
    setText(document.getElementById("activity-empty-text"), t(this.show && this.list.rows.size ? "Nothing of this kind among the newest entries." : "What the portfolio does, and what it decides not to do, appears here."));
  }
}

const PURPOSES = { entry: t("Entry"), scale_in: t("Scale in"), reduce: t("Reduce"), close: t("Close"), liquidation: t("Liquidation") };
const ORDER_STATES = {
  pending: ["clock", "held", t("Pending")], submitted: ["circle", "working", t("Working")], partially_filled: ["contrast", "partial", t("Partly filled")],
  unknown: ["triangle-alert", "held", t("No answer yet")],
};

function fillOrder({ root, slots }, order) {
  const price = priceDigits(order.limit_price ?? order.average_price), digits = quantityDigits(order.limit_price ?? order.average_price);
  const [icon, state, words] = ORDER_STATES[order.status.toLowerCase()] ?? ["circle", "working", sentence(order.status.toLowerCase().replaceAll("_", " "))];
  setAttribute(root, "id", `order-${order.id}`);
  setText(slots.what, t(order.side === "BUY" ? "Buy {size} {code}" : "Sell {size} {code}", { size: number(order.quantity, digits), code: order.code }));
  const purpose = (order.purpose ?? "").toLowerCase();
  setText(slots.purpose, PURPOSES[purpose] ?? sentence(purpose.replaceAll("_", " ")));
  setClass(slots.status, `chip end state-${state}`);
  setIcon(slots.status.firstElementChild, icon);
  setText(slots.status.lastElementChild, words);
  const parts = [known(order.limit_price) ? t("limit {price}", { price: number(order.limit_price, price) }) : t("market")];
  const filled = Number(order.filled_quantity) / Number(order.quantity);
  if (filled > 0) parts.push(t("{part} filled at {price}", { part: percent(filled * 100, 0), price: number(order.average_price, price) }));
  if (order.reduce_only) parts.push(t("only reduces"));
  setText(slots.detail, parts.join(", "));
  const what = `${slots.what.textContent}, ${slots.detail.textContent}`;
  setAttribute(slots.cancel, "data-data", `{"order_id":${order.id}}`);
  setAttribute(slots.cancel, "data-text", `${what}. ${t("What is filled already stays.")}`);
  setAttribute(slots.cancel, "aria-label", t("Cancel {order}", { order: what }));
  fillExpiry(slots, order);
}

function fillExpiry(slots, order) {
  const left = order.expires_at ? secondsBetween(serverNow(), order.expires_at) : null;
  setText(slots.expiry, left === null ? t("since {time}", { time: clock(order.created_at) }) : left > 0 ? t("{span} left", { span: span(left) }) : t("expiring"));
}

export class Orders {
  constructor(body) {
    this.list = new KeyedList(body, document.getElementById("order-row"), fillOrder, (a, b) => (a.created_at < b.created_at ? 1 : -1));
  }

  render(view, keys) {
    this.list.sync(view.orders, keys, view);
    const count = Object.keys(view.orders).length;
    setHidden(document.getElementById("orders-empty"), count > 0);
    setText(document.getElementById("orders-count"), count ? String(count) : "");
  }

  tick() {
    for (const { slots, entity } of this.list.rows.values()) fillExpiry(slots, entity);
  }
}

