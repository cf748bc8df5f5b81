// A page of regions the server draws, kept fresh over the portfolio's socket.
import { FreshRegions, countdowns } from "./fresh.js";
import { listener } from "./frame.js";
import { tell } from "./live.js";
import { learnServerTime } from "./regions/shared.js";
import { renderConnection } from "./regions/status.js";
import { LiveSocket } from "./socket.js";

/** Start listening. `parts` are drawn in the browser: each has render(view, touched) and may have tick(view). */
export function start(...parts) {
  const view = JSON.parse(document.getElementById("portfolio-view").textContent);
  const regions = new FreshRegions();
  const page = {
    render(touched) {
      for (const part of parts) part.render(view, touched);
      regions.changed(touched);
      tell(view, touched);
    },
  };
  document.body.removeAttribute("data-loading");
  tell(view, new Map());
  const live = new LiveSocket(document.getElementById("main").dataset.socket, { ...listener(view, page), time: learnServerTime, state: renderConnection });
  document.getElementById("reconnect-now").addEventListener("click", () => live.reconnect());
  countdowns();
  setInterval(() => {
    countdowns();
    for (const part of parts) part.tick?.(view);
  }, 1000);
  return view;
}
