// The traders page: same state, same socket, rows instead of cards.
import { everything } from "./state.js";
import { listener } from "./frame.js";
import { TraderRows } from "./regions/traders.js";
import { renderConnection } from "./regions/status.js";
import { learnServerTime } from "./regions/shared.js";
import { tell } from "./live.js";
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
      tell(view, changed);
    },
  };
  page.render(everything());
  const live = new LiveSocket(at("main").dataset.socket, { ...listener(view, page), time: learnServerTime, state: renderConnection });
  at("reconnect-now").addEventListener("click", () => live.reconnect());
  setInterval(() => rows.tick(), 1000);
}

start();
