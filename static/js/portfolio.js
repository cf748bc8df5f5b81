// The portfolio page: one state, one renderer for the first paint, for changes and for snapshots.
import { apply, everything, touched } from "./state.js";
import { listener } from "./frame.js";
import { renderCapital, renderKpis } from "./regions/kpis.js";
import { Positions } from "./regions/positions.js";
import { Conflicts } from "./regions/conflicts.js";
import { TraderCards } from "./regions/traders.js";
import { Activity, Orders } from "./regions/activity.js";
import { renderConnection, renderHead, renderHealth, renderWorld } from "./regions/status.js";
import { learnServerTime } from "./regions/shared.js";
import { tell } from "./live.js";
import { LiveSocket } from "./socket.js";
import { EquityPanel } from "./equity_panel.js";

const at = (id) => document.getElementById(id);

// What a screen shows at first. The rest is drawn once that has been painted, and before any news. Positions begin
// below the equity panel, so only a tall screen shows more than the first few.
const ABOVE_POSITIONS_PX = 840, POSITION_PX = 44;
const fold = () => ({ positions: Math.max(3, Math.ceil((innerHeight - ABOVE_POSITIONS_PX) / POSITION_PX)), conflicts: 4 });
const BELOW = ["traders", "orders", "activity"];

/** Renders a view into the page's regions; `render` takes what was touched. */
export class PortfolioPage {
  constructor(view) {
    this.view = view;
    this.positions = new Positions(at("positions"), view);
    this.conflicts = new Conflicts(at("conflicts"));
    this.traders = new TraderCards(at("traders"));
    this.activity = new Activity(at("activity"));
    this.orders = new Orders(at("orders"));
  }

  /** Draw what the first screen shows; `rest` draws what is missing. */
  renderFold() {
    const changed = everything();
    for (const section of BELOW) changed.delete(section);
    this.first = fold();
    this.render(changed);
    this.first = null;
  }

  rest() {
    const { positions, conflicts, view } = this;
    const changed = new Map([["positions", positions.list.missing(view.positions)], ["conflicts", conflicts.list.missing(view.conflicts)]]);
    for (const section of BELOW) changed.set(section, null);
    this.render(changed);
  }

  render(changed) {
    const { view } = this, has = (...names) => names.some((name) => changed.has(name));
    if (has("kpis", "capital", "portfolio", "breakers")) renderKpis(view);
    if (has("capital")) renderCapital(view);
    if (has("portfolio", "traders")) renderHead(view);
    if (has("health")) renderHealth(view);
    if (has("traders")) this.traders.render(view, changed.get("traders"));
    if (has("positions")) this.positions.render(view, changed.get("positions"), this.first?.positions);
    if (has("positions", "kpis")) this.positions.renderTotals(view);
    if (has("conflicts")) this.conflicts.render(view, changed.get("conflicts"), this.first?.conflicts);
    if (has("orders")) this.orders.render(view, changed.get("orders"));
    if (has("activity")) this.activity.render(view, changed.get("activity"));
    this.equity?.render(view, changed);
    tell(view, changed);
  }

  /** Show one change at once. The socket batches by frame; tests and measurements call this. */
  change(message) {
    apply(this.view, message);
    this.render(touched(message));
  }

  tick() {
    this.traders.tick();
    this.orders.tick();
    this.positions.tick();
    renderWorld(this.view.portfolio);
    renderHealth(this.view);
  }
}

function start() {
  const source = at("portfolio-view");
  if (!source) return;
  const view = JSON.parse(source.textContent);
  performance.mark("view-parsed");
  const page = new PortfolioPage(view);
  const { socket, history } = at("main").dataset;
  page.renderFold();
  requestAnimationFrame(() => requestAnimationFrame(() => {
    performance.measure("view-painted", "view-parsed");
    document.body.removeAttribute("data-loading");
    page.rest();
    requestAnimationFrame(() => requestAnimationFrame(() => performance.measure("view-complete", "view-parsed")));
    page.equity = new EquityPanel(at("equity-panel"), history, view);
    const live = new LiveSocket(socket, { ...listener(view, page), time: learnServerTime, state: renderConnection });
    at("reconnect-now").addEventListener("click", () => live.reconnect());
    setInterval(() => page.tick(), 1000);
    globalThis.ensemble = { page, live };
    // The checklist is drawn by the server, and over once the portfolio has been started.
    document.addEventListener("commandend", ({ detail }) => detail.kind === "mode" && detail.status === "done" && document.querySelector("[data-reload]") && location.reload());
  }));
}

start();
