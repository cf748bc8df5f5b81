// How fresh and how healthy: connection, world, banners.
import { setAttribute, setHidden, setText } from "../dom.js";
import { clock, fullMinute, number, plural, sentence, span } from "../format.js";
import { secondsSince, worldNow } from "./shared.js";

const at = (id) => document.getElementById(id);
const WORDS = { connecting: "Connecting", live: "Live", stale: "Stale", reconnecting: "Reconnecting", "signed-out": "Signed out", "not-found": "Not available" };
const CALM = new Set(["live", "connecting"]);
const hasEnded = (portfolio) => Boolean(portfolio.world_end_at) && worldNow(portfolio) >= new Date(portfolio.world_end_at).getTime();

/** The word in the bar, its note, and the banner that says what an interruption means. */
export function renderConnection({ state, since, retry, latency_ms: latency }) {
  const node = at("connection"), calm = CALM.has(state);
  setAttribute(node, "data-state", calm ? state : "reconnecting");
  setText(node.firstElementChild, WORDS[state]);
  const note = { live: latency === undefined ? "" : `${latency} ms`, stale: `since ${clock(since)}`, reconnecting: `stale since ${clock(since)}${retry > 1 ? `, try ${retry}` : ""}` };
  setText(node.lastElementChild, note[state] ?? "");
  at("main").classList.toggle("is-stale", !calm);
  setHidden(at("banner-connection"), state !== "reconnecting" || retry < 2);
  setText(at("banner-connection-since"), clock(since));
  setHidden(at("banner-books"), state !== "stale");
  setText(at("banner-books-since"), clock(since));
  setHidden(at("banner-signed-out"), state !== "signed-out");
  setHidden(at("banner-gone"), state !== "not-found");
}

const RULES = { combine: "overlaps combine", largest: "the largest position counts", first: "the earliest position counts" };

export function renderHead({ portfolio, traders }) {
  const active = Object.values(traders).filter((trader) => trader.follow_status === "active").length;
  setText(at("portfolio-name"), portfolio.name);
  const parts = [plural(active, "active trader"), portfolio.weighting === "custom" ? "your split" : portfolio.weighting === "custom" ? "your own shares" : "equal split", RULES[portfolio.conflict_rule] ?? portfolio.conflict_rule, `${portfolio.policy} policy`, `${portfolio.risk_profile} limits`];
  setText(at("portfolio-summary"), parts.join(", "));
  setHidden(at("not-diversified"), Object.keys(traders).length !== 1);
  const halted = portfolio.status !== "active";
  setHidden(at("banner-status"), !halted);
  setText(at("banner-status-title"), portfolio.status === "halted" ? "Halted." : "Reducing only.");
  setText(at("banner-status-reason"), portfolio.status_reason || (halted ? "Nothing new is opened." : ""));
  renderWorld(portfolio);
}

export function renderWorld(portfolio) {
  const node = at("world");
  const replay = portfolio.world?.startsWith("replay");
  setHidden(node, !portfolio.world);
  if (!portfolio.world) return;
  const parts = [portfolio.world_label ?? sentence(portfolio.world)];
  if (replay && portfolio.world_speed) parts.push(`${number(portfolio.world_speed, 0)}\u00d7`);
  if (replay) parts.push(fullMinute(worldNow(portfolio)) + (hasEnded(portfolio) ? ", the end of the record" : ""));
  if (replay && Number(portfolio.run) > 1) parts.push(`run ${portfolio.run}`);
  setText(at("world-label"), parts.join(" \u00b7 "));
  setText(at("world-note"), portfolio.price_note ?? "");
}

export function renderHealth({ health }) {
  setHidden(at("banner-marks"), !health.marks_stale);
  if (health.marks_stale) setText(at("banner-marks-since"), health.marks_received_at ? `since ${clock(health.marks_received_at)}, ${span(secondsSince(health.marks_received_at))} ago` : "");
  for (const node of document.querySelectorAll("[data-prices]")) node.classList.toggle("is-stale", health.marks_stale);
  setHidden(at("banner-traders"), !health.traders_degraded);
  setText(at("banner-traders-count"), plural(health.traders_degraded ?? 0, "trader"));
}
