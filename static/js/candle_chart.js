// Five-minute candles of one position with its levels and fills, on lightweight-charts 5 (global LightweightCharts).
//
// Candles are ink on paper: colour means outcome, and a candle is none. Hollow rose, solid fell.
import { onTheme, readColours, theme, timeMark, token } from "./chart_theme.js";
import { fullMinute, number, plainNumber, priceDigits } from "./format.js";
import { t } from "./words.js";

const { createChart, createSeriesMarkers, CandlestickSeries, LineStyle } = globalThis.LightweightCharts;
const SPAN_S = 300, FIRST_SHOWN = 160; // candles in sight at first
const STYLES = {
  entry: { colour: "text-2", style: LineStyle.Solid }, stop: { colour: "down", style: LineStyle.Solid }, trail: { colour: "down", style: LineStyle.Dashed },
  first: { colour: "text-3", style: LineStyle.SparseDotted }, target: { colour: "up", style: LineStyle.Solid }, peak: { colour: "text-3", style: LineStyle.Dotted },
  activation: { colour: "text-3", style: LineStyle.LargeDashed },
};
// A level further from the price than this would make everything else small; the stop that counts is shown all the same.
const FAR = 0.1;
// A phone's chart has no room for words: the list below names its lines, the orders its fills. Elsewhere a fill is
// spelled out where the next one is far enough for both to be read.
const narrow = matchMedia("(max-width: 640px)"), WORDS_APART_S = 24 * SPAN_S;

/** Bring fetched candles and known ones together: the fetched ones count, times rise strictly. */
export function mergeCandles(known, fetched) {
  if (!fetched.length) return known;
  const from = fetched[0].time;
  const newer = known.filter(({ time }) => time > fetched.at(-1).time);
  return [...known.filter(({ time }) => time < from), ...fetched, ...newer];
}

/** The candles after a price seen at a world time in seconds; one that leaves a gap is left to the next fetch. */
export function candlesAfter(candles, price, at_s) {
  const time = Math.floor(at_s / SPAN_S) * SPAN_S, last = candles.at(-1);
  if (!last || time < last.time || time > last.time + SPAN_S) return candles;
  if (time === last.time) {
    const moved = { time, open: last.open, high: Math.max(last.high, price), low: Math.min(last.low, price), close: price };
    return [...candles.slice(0, -1), moved];
  }
  return [...candles, { time, open: price, high: price, low: price, close: price }];
}

/** Fills as marks of the candles they fell into; those older than every candle are left out. */
export function fillMarks(fills, candles, digits) {
  if (!candles.length) return [];
  const marks = [];
  for (const { at, side, quantity, price } of fills) {
    if (at < candles[0].time) continue;
    let low = 0, high = candles.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (candles[middle].time <= at) low = middle;
      else high = middle - 1;
    }
    const buy = side === "BUY";
    marks.push({ time: candles[low].time, position: buy ? "belowBar" : "aboveBar", shape: buy ? "arrowUp" : "arrowDown", text: t(buy ? "Bought {size} at {price}" : "Sold {size} at {price}", { size: plainNumber(quantity), price: number(price, digits) }) });
  }
  return marks.sort((a, b) => a.time - b.time);
}

/** Take the words off marks whose neighbours' words would lie over theirs. */
export function spaced(marks) {
  const near = (a, b) => a && b && Math.abs(a.time - b.time) < WORDS_APART_S;
  return marks.map((mark, index) => (near(mark, marks[index - 1]) || near(mark, marks[index + 1]) ? { ...mark, text: "" } : mark));
}

export class CandleChart {
  #lines = new Map();
  #candles = [];
  #levels = [];
  #stale = false;

  constructor(host) {
    readColours();
    this.chart = createChart(host, {
      ...theme(), autoSize: true, localization: { locale: "en-GB", timeFormatter: (time) => fullMinute(time * 1000) },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.08 } },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, rightOffset: 6, tickMarkFormatter: timeMark },
      handleScroll: { vertTouchDrag: false }, handleScale: { mouseWheel: false },
    });
    this.series = this.chart.addSeries(CandlestickSeries, { autoscaleInfoProvider: (original) => this.#scale(original()) });
    this.marks = createSeriesMarkers(this.series, []);
    onTheme(() => this.#paint());
    narrow.addEventListener("change", () => this.#paint());
    this.#paint();
  }

  get candles() {
    return this.#candles;
  }

  /** Show fetched rows [time, open, high, low, close] and the fills. */
  load(rows, fills) {
    const fetched = rows.map(([time, ...prices]) => ({ time, ...Object.fromEntries(["open", "high", "low", "close"].map((name, index) => [name, Number(prices[index])])) }));
    const first = !this.#candles.length;
    this.#candles = mergeCandles(this.#candles, fetched);
    const digits = priceDigits(this.#candles.at(-1)?.close);
    this.series.applyOptions({ priceFormat: { type: "custom", minMove: 10 ** -digits, formatter: (value) => number(value, digits) } });
    this.series.setData(this.#candles);
    this.fills = fills;
    this.#mark();
    if (first && this.#candles.length > FIRST_SHOWN) this.chart.timeScale().setVisibleLogicalRange({ from: this.#candles.length - FIRST_SHOWN, to: this.#candles.length + 6 });
    else if (first) this.chart.timeScale().fitContent();
  }

  /** Forget everything: another run of the world began. */
  clear() {
    this.#candles = [];
  }

  /** A price of the world's time `at_s`: the forming candle moves, or a new one begins. */
  price(price, at_s) {
    const after = candlesAfter(this.#candles, price, at_s);
    if (after === this.#candles) return;
    this.#candles = after;
    this.series.update(after.at(-1));
  }

  /** Draw the levels, [{key, price, title}]; those that are gone are taken away. */
  levels(levels) {
    this.#levels = levels;
    const wanted = new Map(levels.map((level) => [level.key, level]));
    for (const [key, line] of this.#lines) {
      if (wanted.has(key)) continue;
      this.series.removePriceLine(line);
      this.#lines.delete(key);
    }
    for (const [key, { price, title }] of wanted) {
      const { colour, style } = STYLES[key.split(" ")[0]];
      const options = { price, title: narrow.matches ? "" : title, color: token(colour), lineStyle: style, lineWidth: 1, axisLabelVisible: true };
      const line = this.#lines.get(key);
      if (line) line.applyOptions(options);
      else this.#lines.set(key, this.series.createPriceLine(options));
    }
  }

  /** A stale mark is drawn dotted. */
  stale(stale) {
    if (stale === this.#stale) return;
    this.#stale = stale;
    this.#paint();
  }

  #mark() {
    const digits = priceDigits(this.#candles.at(-1)?.close);
    const marks = fillMarks(this.fills ?? [], this.#candles, digits), shown = narrow.matches ? marks.map((mark) => ({ ...mark, text: "" })) : spaced(marks);
    this.marks.setMarkers(shown.map((mark) => ({ ...mark, color: token("text-2") })));
  }

  // Levels are part of what is to be seen, so the scale makes room for those that are near.
  #scale(info) {
    const last = this.#candles.at(-1)?.close;
    const stop = this.#levels.some(({ key }) => key === "trail") ? "trail" : "stop";
    const prices = this.#levels.filter(({ key, price }) => key === stop || Math.abs(price / last - 1) <= FAR).map(({ price }) => price);
    if (!info?.priceRange || !prices.length) return info;
    const { minValue, maxValue } = info.priceRange;
    return { ...info, priceRange: { minValue: Math.min(minValue, ...prices), maxValue: Math.max(maxValue, ...prices) } };
  }

  #paint() {
    const ink = token("text-2");
    this.chart.applyOptions(theme());
    this.series.applyOptions({
      upColor: "rgba(0, 0, 0, 0)", downColor: ink, borderUpColor: ink, borderDownColor: ink, wickUpColor: ink, wickDownColor: ink,
      priceLineColor: this.#stale ? token("warn") : token("text"), priceLineStyle: this.#stale ? LineStyle.SparseDotted : LineStyle.Dotted,
    });
    this.levels(this.#levels);
    this.#mark();
  }
}
