// How charts look: colours from the tokens, read anew when the theme changes.

import { clockMinute, day, dayMinute, month } from "./format.js";

const { LineStyle, TickMarkType } = globalThis.LightweightCharts;

// Tokens use light-dark(), so a colour is read through a real property. One element per token, all read together:
// reading one after each write would make the browser work out styles as many times.
const NAMES = ["text", "text-2", "text-3", "line", "line-strong", "line-control", "ink", "up", "down", "down-soft", "warn", ...Array.from({ length: 10 }, (_, index) => `trader-${index + 1}`)];
const probe = document.createElement("i");
probe.hidden = true;
for (const name of NAMES) probe.appendChild(document.createElement("i")).style.color = `var(--${name})`;
document.body.append(probe);
let colours = {};
export function readColours() {
  colours = Object.fromEntries(NAMES.map((name, index) => [name, getComputedStyle(probe.children[index]).color.match(/[\d.]+/g)]));
}
export const token = (name, alpha = 1) => `rgba(${colours[name].slice(0, 3).join(", ")}, ${alpha})`;

export const theme = () => ({
  layout: {
    background: { color: "transparent" }, textColor: token("text-3"), fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11,
    attributionLogo: false, panes: { separatorColor: token("line"), separatorHoverColor: token("line-strong"), enableResize: false },
  },
  grid: { vertLines: { visible: false }, horzLines: { color: token("line") } },
  crosshair: {
    vertLine: { color: token("line-control"), width: 1, style: LineStyle.Solid, labelBackgroundColor: token("ink") },
    horzLine: { color: token("line-control"), width: 1, style: LineStyle.Dotted, labelBackgroundColor: token("ink") },
  },
});

/**
 * What stands under a tick of the time axis, in the reader's zone. The chart places its ticks at round UTC times, so where a
 * day begins at another hour its tick tells the hour too.
 */
export function timeMark(time, type) {
  const at = time * 1000;
  if (type === TickMarkType.Time || type === TickMarkType.TimeWithSeconds) return clockMinute(at);
  if (clockMinute(at) !== "00:00") return dayMinute(at);
  return type === TickMarkType.DayOfMonth ? day(at) : month(at, type === TickMarkType.Year);
}

/** Call `paint` whenever the theme has changed; the colours are those of the new one by then. */
export function onTheme(paint) {
  const repaint = () => {
    readColours();
    paint();
  };
  document.addEventListener("themechange", repaint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}
