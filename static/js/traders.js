// The traders page: same state, same socket, rows instead of cards.
import { apply, everything, touched } from "./state.js";
import { frameBatch } from "./frame.js";
import { TraderRows } from "./regions/traders.js";
import { renderConnection } from "./regions/status.js";
import { learnServerTime } from "./regions/shared.js";
import { LiveSocket } from "./socket.js";
import { setText } from "./dom.js";
import { usd } from "./format.js";

const at = (id) => document.getElementById(id);

function start() {
  const view = JSON.parse(at("portfolio-view").textContent);
  const rows = new TraderRows(at("followed"));
  const page = {
    render(changed) {
      if (changed.has("traders")) rows.render(view, changed.get("traders"));
      if (changed.has("kpis")) setText(at("equity-now"), usd(view.kpis.equity));
      document.body.removeAttribute("data-loading");
    },
  };
  page.render(everything());
  const schedule = frameBatch(page);
  const live = new LiveSocket(at("main").dataset.socket, {
    snapshot(fresh) {
      Object.assign(view, fresh);
      schedule(everything());
    },
    change(message) {
      apply(view, message);
      schedule(touched(message));
    },
    time: learnServerTime,
    state: renderConnection,
  });
  at("reconnect-now").addEventListener("click", () => live.reconnect());
  setInterval(() => rows.tick(), 1000);
}

start();
