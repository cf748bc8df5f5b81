// Key figures and the capital of the portfolio.
import { setAttribute, setClass, setHidden, setText, setTick } from "../dom.js";
import { known, day, number, percent, signedPercent, signedUsd, tone, usd } from "../format.js";
import { stack } from "../geometry.js";
import { t } from "../words.js";

const at = (id) => document.getElementById(id);

function fillMeter(node, value, limit) {
  setHidden(node, !known(limit));
  if (!known(limit)) return;
  const most = Math.abs(Number(limit));
  for (const [name, part] of [["max", most], ["low", most * 0.8], ["high", most * 0.999]]) setAttribute(node, name, part);
  setAttribute(node, "value", Math.min(most, Math.abs(Number(value))));
}

function fillResult(id, value, pct, note) {
  const node = at(id);
  setTick(node, value, signedUsd(value));
  setClass(node.parentElement, `kpi-value ${tone(value)}`);
  setText(at(`${id}-note`), known(pct) ? `${signedPercent(pct)} ${note}` : note);
}

const gauge = (breakers, kind) => breakers?.gauges.find((entry) => entry.kind === kind)?.threshold;

export function renderKpis({ kpis, portfolio, capital, breakers }) {
  const deepest = gauge(breakers, "drawdown");
  setTick(at("kpi-equity"), kpis.equity, usd(kpis.equity));
  setText(at("kpi-equity-note"), known(kpis.peak_equity) ? kpis.peak_at ? t("Peak {amount} on {day}", { amount: usd(kpis.peak_equity), day: day(kpis.peak_at) }) : t("Peak {amount}", { amount: usd(kpis.peak_equity) }) : "");
  fillResult("kpi-day", kpis.day_pnl, kpis.day_pnl_pct, t("since 00:00 UTC"));
  fillResult("kpi-total", kpis.total_pnl, kpis.total_pnl_pct, portfolio.start_at && !portfolio.world?.startsWith("replay") ? t("since {day}", { day: day(portfolio.start_at) }) : t("since the start"));
  setText(at("kpi-win"), percent(kpis.win_rate_pct, 1));
  setText(at("kpi-win-note"), kpis.closed_count ? t("of {count} closed", { count: kpis.closed_count }) : t("nothing closed yet"));
  setTick(at("kpi-exposure"), kpis.exposure_pct, percent(kpis.exposure_pct, 1));
  setText(at("kpi-exposure-limit"), known(kpis.exposure_limit_pct) ? t("limit {limit}", { limit: percent(kpis.exposure_limit_pct, 0) }) : "");
  setText(at("kpi-exposure-note"), t("{gross} gross, {net} net", { gross: usd(kpis.gross, 0), net: signedUsd(kpis.net, 0) }));
  fillMeter(at("kpi-exposure-meter"), kpis.exposure_pct, kpis.exposure_limit_pct);
  const fall = known(kpis.drawdown_pct) ? -Math.abs(Number(kpis.drawdown_pct)) : null;
  setText(at("kpi-drawdown"), percent(fall));
  setText(at("kpi-drawdown-limit"), known(deepest) ? t("limit {limit}", { limit: percent(-Math.abs(deepest), 0) }) : "");
  setText(at("kpi-drawdown-note"), known(deepest) ? t("{points} points to the limit", { points: number(Math.abs(deepest) + fall) }) : t("from the highest equity"));
  fillMeter(at("kpi-drawdown-meter"), fall, deepest);
  setTick(at("kpi-free"), capital.free, usd(capital.free, 0));
  setText(at("kpi-free-of"), t("of {amount}", { amount: usd(capital.total, 0) }));
  setText(at("kpi-free-note"), t("{amount} allocated", { amount: usd(capital.allocated, 0) }));
}

const PARTS = ["deployed", "committed", "reserved", "free"];
const NAMES = { deployed: t("deployed"), committed: t("committed"), reserved: t("reserved"), free: t("free") };

function fillBar(node, capital) {
  stack(PARTS.map((name) => Number(capital[name]))).forEach((part, index) => {
    for (const rect of node.querySelectorAll(`[data-part="${PARTS[index]}"]`)) {
      setAttribute(rect, "x", `${part.x}%`);
      setAttribute(rect, "width", `${part.width}%`);
    }
  });
  const words = PARTS.map((name) => `${NAMES[name]} ${usd(capital[name])}`).join(", ");
  setAttribute(node, "aria-label", `${t("Capital of {amount}", { amount: usd(capital.total) })}: ${words}`);
}

export function renderCapital({ capital }) {
  fillBar(at("kpi-capital"), capital);
  const bar = at("capital-bar");
  if (!bar) return;
  fillBar(bar, capital);
  for (const name of [...PARTS, "cash", "total"]) setText(at(`capital-${name}`), usd(capital[name]));
  const deficit = Number(capital.deficit) > 0;
  for (const node of document.querySelectorAll("[data-deficit]")) setHidden(node, !deficit);
  setText(at("capital-deficit"), usd(capital.deficit));
}
