// The traders page: same state, same socket, rows instead of cards.
import { everything } from "./state.js";
import { listener } from "./frame.js";
import { TraderRows } from "./regions/traders.js";
import { renderConnection } from "./regions/status.js";
import { learnServerTime } from "./regions/shared.js";
import { tell } from "./live.js";
import { LiveSocket } from "./socket.js";
import { setHidden, setText } from "./dom.js";
import { number, percent, usd } from "./format.js";
import { plain } from "./typed.js";
import { t } from "./words.js";

const at = (id) => document.getElementById(id);

function start() {
  const view = JSON.parse(at("portfolio-view").textContent);
  const rows = new TraderRows(at("followed"));
  const page = {
    render(changed) {
      if (changed.has("traders")) rows.render(view, changed.get("traders"));
      if (changed.has("kpis")) setText(at("equity-now"), usd(view.kpis.equity));
      document.body.removeAttribute("data-loading");
      tell(view, changed);
    },
  };
  page.render(everything());
  const live = new LiveSocket(at("main").dataset.socket, { ...listener(view, page), time: learnServerTime, state: renderConnection });
  at("reconnect-now").addEventListener("click", () => live.reconnect());
  setInterval(() => rows.tick(), 1000);
}

// Percentages must be exactly 100.00 in all. Sums run in hundredths of a percent to stay exact; the server checks too.
function checkWeights(form) {
  const custom = form.elements.weighting.value === "custom";
  for (const node of form.querySelectorAll("[data-weights]")) setHidden(node, !custom);
  const total = [...form.querySelectorAll("[data-weight]")].reduce((sum, input) => sum + Math.round(Number(plain(input.value)) * 100), 0);
  const off = number(Math.abs(10_000 - total) / 100);
  setText(at("weights-total"), Number.isNaN(total) ? t("not a number") : total === 10_000 ? percent(100) : t(total < 10_000 ? "{total}, add {off}" : "{total}, take off {off}", { total: percent(total / 100), off }));
  at("weights-submit").disabled = custom && total !== 10_000;
}

const weights = at("weights");
if (weights) {
  weights.addEventListener("input", () => checkWeights(weights));
  weights.addEventListener("reset", () => setTimeout(() => checkWeights(weights)));
  checkWeights(weights);
}
start();
