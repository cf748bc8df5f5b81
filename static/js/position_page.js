// The page of one position: candles, levels and rail drawn here; figures, orders and exits come from the server.
import { DRAWN, element, setClass, setHidden, setText, setTick, svg } from "./dom.js";
import { known, number, priceDigits } from "./format.js";
import { CandleChart } from "./candle_chart.js";
import { drawExit } from "./regions/exits.js";
import { standingStop, stepsAhead } from "./exit_rail.js";
import { start } from "./fresh_page.js";
import { t } from "./words.js";

const EVERY_MS = { fast: 5_000, slow: 30_000 }; // how often closed candles are fetched: a fast world closes many a second
const TITLES = { entry: t("Entry"), stop: t("Stop"), trail: t("Trail"), first: t("First stop"), target: t("Target"), peak: t("Best"), activation: t("Trails from") };

/** The lines a position draws into its chart: [{key, price, title}]. */
export function levelsOf(position) {
  if (!position || !known(position.entry_price)) return [];
  const { exits } = position, levels = [["entry", position.entry_price]];
  if (exits) {
    const stop = standingStop(exits, position.side === "SHORT" ? -1 : 1);
    levels.push(["stop", exits.stop], ["trail", exits.trail], ["peak", exits.peak], ["activation", exits.activation]);
    if (exits.first_stop !== exits.stop || stop?.trailing) levels.push(["first", exits.first_stop]);
    for (const [index, { text }] of stepsAhead(exits).entries()) levels.push([index ? `target ${index + 1}` : "target", text]);
  }
  const titled = levels.filter(([, price]) => known(price)).map(([key, price]) => ({ key, price: Number(price), title: TITLES[key.split(" ")[0]] }));
  return titled.filter(({ key, price }) => key !== "first" || !titled.some((other) => other.key === "stop" && other.price === price));
}

class PositionPanel {
  #asked = 0;
  #busy = false;

  constructor(root) {
    this.root = root;
    this.id = root.dataset.position;
    const at = (name) => root.querySelector(`[data-${name}]`);
    Object.assign(this, { host: at("chart"), note: at("note"), shownMark: at("mark"), key: at("key"), error: at("error"), empty: at("empty") });
    root.querySelector("[data-retry]").addEventListener("click", () => this.load());
  }

  begin(view) {
    this.view = view;
    this.load();
    this.render(view, new Map([["positions", null]]));
  }

  async load() {
    if (this.#busy) return;
    this.#busy = true;
    this.#asked = performance.now();
    try {
      const known = this.chart?.candles ?? [], since = known.length > 1 ? known.at(-2).time : null;
      const answer = await fetch(`${this.root.dataset.url}${since === null ? "" : `?since=${since}`}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(t("The server answered {status}.", { status: answer.status }));
      this.#show(await answer.json());
    } catch (error) {
      setText(this.error, error.message);
      if (!this.chart) this.#state("failed");
    } finally {
      this.#busy = false;
    }
  }

  #show({ run, of_this_run: current, note, candles, fills }) {
    if (this.run !== undefined && this.run !== run) {
      this.run = run;
      this.chart?.clear();
      return void setTimeout(() => this.load());
    }
    this.run = run;
    setText(this.note, note);
    setHidden(this.note, !note);
    if (!candles.length && !this.chart?.candles.length) {
      setText(this.empty, t(current ? "The first one appears with the first price." : "It belongs to an earlier run of the replay, whose prices are over."));
      return this.#state("empty");
    }
    this.#state("chart");
    this.chart ??= new CandleChart(this.host);
    this.chart.load(candles, fills);
    this.#draw();
  }

  render(view, touched) {
    this.view = view;
    if (!touched.has("positions")) return;
    const position = view.positions[this.id];
    for (const control of document.querySelectorAll("[data-open-only]")) setHidden(control, !position || (control.dataset.ask === "exits" && !position.exits));
    this.rail(position);
    if (!position) return this.#draw();
    const digits = priceDigits(position.entry_price ?? position.mark_price);
    if (known(position.mark_price)) {
      setTick(this.shownMark, position.mark_price, number(position.mark_price, digits));
      setClass(this.shownMark, position.mark_stale ? "candles-mark stale" : "candles-mark");
      this.chart?.price(Number(position.mark_price), new Date(position.mark_at).getTime() / 1000);
    }
    this.#draw();
  }

  // The panel around the rail comes from the server and may just have been replaced by a fresh one.
  rail(position = this.view.positions[this.id]) {
    const cell = document.querySelector("[data-rail] > .exit");
    if (cell && position) drawExit(cell, position);
  }

  tick(view) {
    this.rail();
    const fast = Number(view.portfolio.world_speed ?? 1) > 1;
    if (document.visibilityState === "visible" && performance.now() - this.#asked > (fast ? EVERY_MS.fast : EVERY_MS.slow)) this.load();
  }

  #draw() {
    const position = this.view.positions[this.id], levels = levelsOf(position);
    const key = JSON.stringify(levels);
    if (this.chart && this.chart[DRAWN] !== key) {
      this.chart[DRAWN] = key;
      this.chart.levels(levels);
    }
    this.chart?.stale(Boolean(position?.mark_stale));
    if (this.key[DRAWN] === key) return;
    this.key[DRAWN] = key;
    const digits = priceDigits(position?.entry_price);
    this.key.replaceChildren(...levels.map(({ key: name, price, title }) => {
      const item = element("li"), sample = svg("svg", { viewBox: "0 0 18 8", "aria-hidden": "true" });
      sample.append(svg("path", { class: `line-${name.split(" ")[0]}`, d: "M0 4h18" }));
      item.append(sample, element("span", "", title), element("b", "", number(price, digits)));
      return item;
    }));
    const words = levels.map(({ price, title }) => `${title.toLowerCase()} ${number(price, digits)}`);
    this.host.setAttribute("aria-label", `${t("Candles of five minutes.")} ${words.join(", ") || t("The position is closed.")}`);
  }

  #state(state) {
    this.root.dataset.state = state;
    for (const node of this.root.querySelectorAll("[data-when]")) setHidden(node, node.dataset.when !== state);
  }
}

const panel = new PositionPanel(document.getElementById("candles"));
document.addEventListener("regionsfresh", () => panel.rail());
panel.begin(start(panel));
