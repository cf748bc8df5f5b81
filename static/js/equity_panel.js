// The equity panel: history over HTTP, newest points from the view, legend, unit and range switches.
import { DRAWN, element, setClass, setHidden, setText } from "./dom.js";
import { signedPercent, tone } from "./format.js";
import { EquityChart, PORTFOLIO } from "./chart.js";
import { hueClass } from "./regions/shared.js";
import { t } from "./words.js";

const POINT_EVERY_MS = 1000; // drawing a canvas costs more than the rest of an update, and nobody reads a curve faster
const ASK_AGAIN_MS = 30_000;

export class EquityPanel {
  #loading = false;
  #timer = null;

  constructor(root, url, view) {
    Object.assign(this, { root, url, view, run: null, hidden: new Set() });
    this.host = root.querySelector("[data-chart]");
    this.legend = root.querySelector("[data-legend]");
    this.legend.addEventListener("click", ({ target }) => this.#toggle(target.closest("[data-line]")));
    root.querySelector("[data-filter=unit]").addEventListener("click", ({ target }) => target.closest("button") && this.chart?.unit(target.closest("button").value));
    root.querySelector("[data-filter=range]").addEventListener("click", ({ target }) => target.closest("button") && this.chart?.range(target.closest("button").value));
    root.querySelector("[data-retry]").addEventListener("click", () => this.load());
    this.load();
  }

  /** Fetch the history and draw it. A failure is shown in the panel with a way to try again. */
  async load() {
    if (this.#loading) return;
    this.#loading = true;
    this.#show("loading");
    try {
      const response = await fetch(this.url, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(t("The server answered {status}.", { status: response.status }));
      const history = await response.json();
      this.#show(history.points.length ? "chart" : "empty");
      if (history.points.length) this.#draw(history);
    } catch (error) {
      setText(this.root.querySelector("[data-error]"), error.message);
      this.#show("failed");
    } finally {
      this.#loading = false;
    }
  }

  #draw(history) {
    const { view } = this;
    this.run = history.run;
    this.lines = Object.keys(history.traders).sort().join();
    this.chart ??= new EquityChart(this.host);
    this.chart.load(history, view.traders, view.breakers?.gauges.find(({ kind }) => kind === "drawdown")?.threshold ?? null);
    for (const name of ["unit", "range"]) {
      const pressed = this.root.querySelector(`[data-filter=${name}] [aria-pressed=true]`);
      if (pressed) this.chart[name](pressed.value);
    }
    this.chart.push(view.curve);
    for (const id of this.hidden) this.chart.show(id, false);
    this.#renderLegend();
  }

  /** Called with every render of the page; adds the newest point once a second, or loads anew when the run or the traders changed. */
  render(view, changed) {
    this.view = view;
    if (!changed.has("curve") && !changed.has("traders")) return;
    if (!this.chart) {
      if (this.root.dataset.state === "empty" && changed.has("curve")) this.load();
      return;
    }
    if (this.#lacksTrader(view) || (this.run !== null && view.portfolio.run !== this.run)) return void this.load();
    this.#timer ??= setTimeout(() => this.#point(), POINT_EVERY_MS);
  }

  // A trader who was just followed may have no history for a while: it is asked for again, but not with every point.
  #lacksTrader(view) {
    const unknown = Object.keys(view.curve?.traders ?? {}).filter((id) => !this.chart.has(id) && view.traders[id]).join();
    if (!unknown || (unknown === this.unknown && performance.now() - this.asked < ASK_AGAIN_MS)) return false;
    Object.assign(this, { unknown, asked: performance.now() });
    return true;
  }

  #point() {
    this.#timer = null;
    if (!this.chart.push(this.view.curve)) return void this.load();
    this.#renderLegend();
  }

  #show(state) {
    // While a drawn chart is refreshed it stays on screen.
    if (state === "loading" && this.chart) return;
    this.root.dataset.state = state;
    for (const node of this.root.querySelectorAll("[data-when]")) setHidden(node, node.dataset.when !== state);
  }

  #renderLegend() {
    const traders = Object.values(this.view.traders).filter(({ follow_id: id }) => this.chart.has(String(id))).sort((a, b) => a.order - b.order);
    const wanted = [PORTFOLIO, ...traders.map(({ follow_id: id }) => String(id))].join();
    if (this.legend[DRAWN] !== wanted) {
      this.legend[DRAWN] = wanted;
      this.legend.replaceChildren(this.#button(PORTFOLIO, null), ...traders.map((trader) => this.#button(String(trader.follow_id), trader)));
    }
    for (const button of this.legend.children) {
      const value = this.chart.returnPct(button.dataset.line);
      setText(button.lastElementChild, signedPercent(value, 1));
      setClass(button.lastElementChild, tone(value, 1));
    }
    const main = this.chart.returnPct(PORTFOLIO);
    this.host.setAttribute("aria-label", t("Equity since the start: portfolio {result}. The cards of the traders list their results.", { result: signedPercent(main, 1) }));
  }

  #button(id, trader) {
    const button = element("button");
    button.type = "button";
    button.dataset.line = id;
    button.setAttribute("aria-pressed", String(!this.hidden.has(id)));
    if (trader) {
      const tile = element("span", `tile ${hueClass(trader.hue)}`, trader.monogram);
      tile.ariaHidden = "true";
      button.title = trader.name;
      button.append(tile, element("span", "vh", trader.name));
    } else button.append(element("span", "key"), element("b", "", t("Portfolio")));
    button.append(element("span"));
    return button;
  }

  #toggle(button) {
    if (!button) return;
    const id = button.dataset.line, visible = this.hidden.has(id);
    if (visible) this.hidden.delete(id);
    else this.hidden.add(id);
    button.setAttribute("aria-pressed", String(visible));
    this.chart?.show(id, visible);
  }
}
