// Equity and drawdown on lightweight-charts 5 (global LightweightCharts). Colours come from the tokens.
import { onTheme, readColours, theme, timeMark, token } from "./chart_theme.js";
import { drawdown } from "./geometry.js";
import { MINUS, fullMinute, known, localised, usd } from "./format.js";

const { createChart, LineSeries, AreaSeries, LineStyle } = globalThis.LightweightCharts;
const RANGE_S = { "1D": 86400, "1W": 604800, "1M": 2592000 };
const PORTFOLIO = "portfolio";
const PUSHED_MOST = 4000; // points added live before the thinned history is worth loading again

const percent = (value) => {
  const body = Math.abs(value).toFixed(Math.abs(value) < 10 ? 2 : 1);
  return (body === "0.00" ? "" : value < 0 ? MINUS : "+") + localised(body) + "%";
};
const FORMATS = {
  "%": { type: "custom", minMove: 0.01, formatter: percent },
  $: { type: "custom", minMove: 0.01, formatter: (value) => usd(value, Math.abs(value) < 10_000 ? 2 : 0) },
};

/** The chart of one host element: the portfolio's line, one per trader, and the drawdown below. */
export class EquityChart {
  #lines = new Map();
  #unit = "%";
  #start = 1;

  constructor(host) {
    this.host = host;
    readColours();
    this.chart = createChart(host, {
      ...theme(), autoSize: true, localization: { locale: "en-GB", timeFormatter: (time) => fullMinute(time * 1000) },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.06, bottom: 0.08 } },
      timeScale: { borderVisible: false, fixLeftEdge: true, fixRightEdge: true, timeVisible: true, secondsVisible: false, tickMarkFormatter: timeMark },
      handleScroll: { vertTouchDrag: false }, handleScale: { mouseWheel: false },
    });
    onTheme(() => this.#paint());
  }

  /**
   * Replace all data. `history` is equity.json; `traders` the view's traders, for hues; `limitPct` the drawdown limit or null.
   */
  load(history, traders, limitPct) {
    for (const { series } of this.#lines.values()) this.chart.removeSeries(series);
    if (this.under) this.chart.removeSeries(this.under);
    this.#lines.clear();
    this.under = null;
    this.#start = Number(history.points[0]?.[1]) || 1;
    const ordered = Object.keys(history.traders).sort((a, b) => (traders[b]?.order ?? 0) - (traders[a]?.order ?? 0));
    for (const id of ordered) if (traders[id]) this.#add(id, traders[id].hue, clean(history.traders[id]));
    this.#add(PORTFOLIO, 0, clean(history.points));
    this.#addDrawdown(limitPct);
    this.#paint();
    this.chart.timeScale().fitContent();
  }

  #add(id, hue, points) {
    const main = id === PORTFOLIO;
    const series = this.chart.addSeries(LineSeries, {
      lineWidth: main ? 2 : 1, lineStyle: hue > 5 ? LineStyle.Dashed : LineStyle.Solid, priceLineVisible: false, lastValueVisible: main,
      crosshairMarkerRadius: main ? 4 : 2, priceFormat: FORMATS[this.#unit],
    });
    const line = { series, hue, main, points, loaded: points.length, base: points[0]?.growth };
    this.#lines.set(id, line);
    series.setData(points.map((point) => this.#shown(line, point)));
    if (main) series.createPriceLine({ price: this.#unit === "%" ? 0 : this.#start, color: token("line-control"), lineStyle: LineStyle.Dotted, lineWidth: 1, axisLabelVisible: false });
  }

  // In dollars every trader is scaled to the portfolio's own start: what that start would have become with this trader alone.
  #shown(line, { time, value, growth }) {
    const ratio = line.base ? growth / line.base : 1;
    if (this.#unit === "%") return { time, value: (ratio - 1) * 100 };
    return { time, value: line.main ? value : ratio * this.#start };
  }

  #addDrawdown(limitPct) {
    const { points } = this.#lines.get(PORTFOLIO);
    this.peak = points.reduce((peak, { growth }) => Math.max(peak, growth), 0);
    const limit = !known(limitPct) ? null : -Math.abs(Number(limitPct));
    this.under = this.chart.addSeries(AreaSeries, {
      priceLineVisible: false, lastValueVisible: true, lineWidth: 1, priceFormat: FORMATS["%"],
      ...(limit === null ? {} : { autoscaleInfoProvider: () => ({ priceRange: { minValue: limit * 1.15, maxValue: 0 } }) }),
    }, 1);
    this.under.setData(drawdown(points.map(({ time, growth }) => [time, growth])).map(([time, value]) => ({ time, value })));
    if (limit !== null) {
      this.under.createPriceLine({
        price: limit, color: token("down"), lineStyle: LineStyle.Dashed, lineWidth: 1, axisLabelVisible: true,
        axisLabelColor: token("down-soft"), axisLabelTextColor: token("down"), title: "",
      });
    }
    this.chart.panes()[1]?.setStretchFactor(0.5);
  }

  /** Add or replace the newest point of every line. Returns false when the history must be loaded again: time went backwards, or too many points piled up. */
  push(curve) {
    const time = Math.floor(new Date(curve.at).getTime() / 1000), main = this.#lines.get(PORTFOLIO);
    if (!main || time < (main.points.at(-1)?.time ?? 0) || main.points.length > main.loaded + PUSHED_MOST) return false;
    const growth = Number(curve.unit_value ?? curve.portfolio);
    this.#append(main, { time, value: Number(curve.portfolio), growth });
    for (const [id, equity] of Object.entries(curve.traders ?? {})) {
      const line = this.#lines.get(id), value = Number(equity);
      if (line && equity !== null && time >= (line.points.at(-1)?.time ?? 0)) this.#append(line, { time, value, growth: value });
    }
    this.peak = Math.max(this.peak, growth);
    this.under.update({ time, value: this.peak > 0 ? (growth / this.peak - 1) * 100 : 0 });
    return true;
  }

  #append(line, point) {
    line.base ??= point.growth;
    if (line.points.at(-1)?.time === point.time) line.points.pop();
    line.points.push(point);
    line.series.update(this.#shown(line, point));
  }

  show(id, visible) {
    this.#lines.get(id)?.series.applyOptions({ visible });
  }

  range(name) {
    const end = this.#lines.get(PORTFOLIO)?.points.at(-1)?.time;
    if (RANGE_S[name] && end) this.chart.timeScale().setVisibleRange({ from: end - RANGE_S[name], to: end });
    else this.chart.timeScale().fitContent();
  }

  unit(name) {
    this.#unit = name;
    for (const line of this.#lines.values()) {
      line.series.applyOptions({ priceFormat: FORMATS[name] });
      line.series.setData(line.points.map((point) => this.#shown(line, point)));
      for (const priceLine of line.series.priceLines()) priceLine.applyOptions({ price: name === "%" ? 0 : this.#start });
    }
  }

  /** Return of a line since its start, in percent points, or null. */
  returnPct(id) {
    const line = this.#lines.get(id);
    return line?.points.length && line.base ? (line.points.at(-1).growth / line.base - 1) * 100 : null;
  }

  has(id) {
    return this.#lines.has(id);
  }

  #paint() {
    this.chart.applyOptions(theme());
    for (const { series, hue } of this.#lines.values()) series.applyOptions({ color: hue ? token(`trader-${hue}`, 0.85) : token("text") });
    this.under?.applyOptions({ lineColor: token("text-2"), topColor: token("text-3", 0.18), bottomColor: token("text-3", 0.18), invertFilledArea: true });
  }
}

// [time, equity, unit value?] as points: times must rise strictly, of two in one second the later one counts.
// `growth` is what results are measured in: the unit value, which deposits do not move, or else the equity.
function clean(rows) {
  const byTime = new Map(rows.map(([time, value, unit]) => [Math.floor(time), { time: Math.floor(time), value: Number(value), growth: Number(unit ?? value) }]));
  return [...byTime.values()].sort((a, b) => a.time - b.time);
}

export { PORTFOLIO };
