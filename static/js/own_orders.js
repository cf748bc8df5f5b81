// The dialogs of a person's own orders: close a position or part of it, place a limit entry.
import { clone, setAttribute, setClass, setHidden, setText } from "./dom.js";
import { known, number, percent, priceDigits, quantityDigits, signedUsd, stance, tone, usd } from "./format.js";
import { live } from "./live.js";
import { plain } from "./typed.js";
import { openDialog } from "./ask.js";
import { t } from "./words.js";

const template = (id) => document.getElementById(id);
// Plain names are written in capitals; names with a venue's prefix are kept as typed.
const codeOf = (typed) => (typed.trim() === typed.trim().toLowerCase() ? typed.trim().toUpperCase() : typed.trim());

/** Close `data-position`, 1 to 100 %, estimated at the mark and kept current while the dialog is open. */
export function openClose({ dataset: { position: id } }) {
  const { root, slots } = clone(template("close-dialog")), first = live.view.positions[id];
  if (!first) return;
  const title = t(first.side === "SHORT" ? "Close {code} short" : "Close {code} long", { code: first.code });
  setText(slots.title, title);
  const share = () => Number(slots.slider.value);
  const show = () => {
    const position = live.view.positions[id];
    setHidden(slots.gone, Boolean(position));
    if (position) estimate(slots, position, share());
    else slots.submit.disabled = true;
  };
  const listen = (touched) => touched.has("positions") && !root.querySelector("form").hasAttribute("aria-busy") && show();
  root.addEventListener("input", ({ target }) => {
    if (target.name === "share") slots.slider.value = target.value;
    for (const radio of root.querySelectorAll("[name=share]")) radio.checked = radio.value === slots.slider.value;
    show();
  });
  root.addEventListener("close", () => live.listeners.delete(listen));
  live.listeners.add(listen);
  show();
  openDialog(root, slots, { kind: "close", title, read: () => ({ position_id: Number(id), percent: slots.slider.value, market: slots.market.checked }) });
}

function estimate(slots, position, share) {
  const price = position.mark_price ?? position.entry_price, digits = quantityDigits(price), part = share / 100, size = Math.abs(Number(position.quantity));
  setText(slots.percent, percent(share, 0));
  setAttribute(slots.slider, "aria-valuetext", t("{share} percent, {size} {code}", { share, size: number(size * part, digits), code: position.code }));
  setText(slots.whole, `${number(size, digits)} ${position.code}`);
  setText(slots.order, `${t(Number(position.quantity) < 0 ? "Buy {size} {code}" : "Sell {size} {code}", { size: number(size * part, digits), code: position.code })} ${t(slots.market.checked ? "at market" : "at a limit near the mark")}`);
  setText(slots.value, usd(Number(position.notional) * part));
  setText(slots.result, known(position.unrealized_pnl) ? signedUsd(Number(position.unrealized_pnl) * part) : number(null));
  setClass(slots.result, tone(known(position.unrealized_pnl) ? Number(position.unrealized_pnl) * part : null));
  setText(slots.left, share === 100 ? t("nothing") : stance(Number(position.quantity) * (1 - part), digits));
  setHidden(slots.stale, !position.mark_stale);
  setText(slots.submit, t("Close {share}", { share: percent(share, 0) }));
}

/** Place a limit entry of one's own: it belongs to no trader. */
export function openEntry() {
  const { root, slots } = clone(template("entry-dialog"));
  const marks = Object.fromEntries(Object.values(live.view?.positions ?? {}).map((position) => [position.code, position.mark_price]));
  const show = () => {
    const side = slots.sell.checked ? "SELL" : "BUY", price = Number(plain(slots.price.value)), quantity = Number(plain(slots.quantity.value)), code = codeOf(slots.code.value);
    const value = price * quantity, mark = Number(marks[code]);
    setText(slots.value, value > 0 ? usd(value) : number(null));
    const away = mark && price ? ((price / mark - 1) * 100) : null;
    const apart = away === null ? "" : t(away < 0 ? ", your limit is {distance} below" : ", your limit is {distance} above", { distance: percent(Math.abs(away), 1) });
    setText(slots.mark, mark ? number(mark, priceDigits(mark)) + apart : number(null));
    setText(slots.submit, quantity > 0 && code ? t(side === "BUY" ? "Buy {size} {code}" : "Sell {size} {code}", { size: slots.quantity.value, code }) : t("Place the order"));
  };
  root.addEventListener("input", show);
  show();
  openDialog(root, slots, {
    kind: "entry", title: t("Limit entry"),
    read: () => ({ instrument: codeOf(slots.code.value), side: slots.sell.checked ? "SELL" : "BUY", quantity: plain(slots.quantity.value), limit_price: plain(slots.price.value), lifetime_s: Number(slots.life.value) }),
  });
}
