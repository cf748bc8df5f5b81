// Key figures and the capital of the portfolio.
import { setAttribute, setClass, setHidden, setText, setTick } from "../dom.js";
import { known, day, number, percent, signedPercent, signedUsd, tone, usd } from "../format.js";
import { stack } from "../geometry.js";

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
  setText(at("kpi-equity-note"), known(kpis.peak_equity) ? `Peak ${usd(kpis.peak_equity)}${kpis.peak_at ? ` on ${day(kpis.peak_at)}` : ""}` : "");
  fillResult("kpi-day", kpis.day_pnl, kpis.day_pnl_pct, "since 00:00");
  fillResult("kpi-total", kpis.total_pnl, kpis.total_pnl_pct, portfolio.start_at && !portfolio.world?.startsWith("replay") ? `since ${day(portfolio.start_at)}` : "since the start");
  setText(at("kpi-win"), percent(kpis.win_rate_pct, 1));
  setText(at("kpi-win-note"), kpis.closed_count ? `of ${kpis.closed_count} closed` : "nothing closed yet");
  setTick(at("kpi-exposure"), kpis.exposure_pct, percent(kpis.exposure_pct, 1));
  setText(at("kpi-exposure-limit"), known(kpis.exposure_limit_pct) ? `limit ${percent(kpis.exposure_limit_pct, 0)}` : "");
  setText(at("kpi-exposure-note"), `${usd(kpis.gross, 0)} gross, ${signedUsd(kpis.net, 0)} net`);
  fillMeter(at("kpi-exposure-meter"), kpis.exposure_pct, kpis.exposure_limit_pct);
  const fall = known(kpis.drawdown_pct) ? -Math.abs(Number(kpis.drawdown_pct)) : null;
  setText(at("kpi-drawdown"), percent(fall));
  setText(at("kpi-drawdown-limit"), known(deepest) ? `limit ${percent(-Math.abs(deepest), 0)}` : "");
  setText(at("kpi-drawdown-note"), known(deepest) ? `${number(Math.abs(deepest) + fall)} points to the limit` : "from the highest equity");
  fillMeter(at("kpi-drawdown-meter"), fall, deepest);
  setTick(at("kpi-free"), capital.free, usd(capital.free, 0));
  setText(at("kpi-free-of"), `of ${usd(capital.total, 0)}`);
  setText(at("kpi-free-note"), `${usd(capital.allocated, 0)} allocated`);
}

const PARTS = ["deployed", "committed", "reserved", "free"];

function fillBar(node, capital) {
  stack(PARTS.map((name) => Number(capital[name]))).forEach((part, index) => {
    for (const rect of node.querySelectorAll(`[data-part="${PARTS[index]}"]`)) {
      setAttribute(rect, "x", `${part.x}%`);
      setAttribute(rect, "width", `${part.width}%`);
    }
  });
  const words = PARTS.map((name) => `${name} ${usd(capital[name])}`).join(", ");
  setAttribute(node, "aria-label", `Capital of ${usd(capital.total)}: ${words}`);
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
