// How fresh and how healthy: connection, world, banners.
import { setAttribute, setHidden, setText } from "../dom.js";
import { clock, fullMinute, number, sentence, span } from "../format.js";
import { secondsSince, worldNow } from "./shared.js";
import { plural, t } from "../words.js";

const at = (id) => document.getElementById(id);
const WORDS = { connecting: t("Connecting"), live: t("Live"), stale: t("Stale"), reconnecting: t("Reconnecting"), "signed-out": t("Signed out"), "not-found": t("Not available") };
const CALM = new Set(["live", "connecting"]);
const hasEnded = (portfolio) => Boolean(portfolio.world_end_at) && worldNow(portfolio) >= new Date(portfolio.world_end_at).getTime();

/** The word in the bar, its note, and the banner that says what an interruption means. */
export function renderConnection({ state, since, retry, latency_ms: latency }) {
  const node = at("connection"), calm = CALM.has(state);
  setAttribute(node, "data-state", calm ? state : "reconnecting");
  setText(node.firstElementChild, WORDS[state]);
  const note = { live: latency === undefined ? "" : `${latency} ms`, stale: t("since {time}", { time: clock(since) }), reconnecting: retry > 1 ? t("stale since {time}, try {retry}", { time: clock(since), retry }) : t("stale since {time}", { time: clock(since) }) };
  setText(node.lastElementChild, note[state] ?? "");
  at("main").classList.toggle("is-stale", !calm);
  setHidden(at("banner-connection"), state !== "reconnecting" || retry < 2);
  setText(at("banner-connection-since"), clock(since));
  setHidden(at("banner-books"), state !== "stale");
  setText(at("banner-books-since"), clock(since));
  setHidden(at("banner-signed-out"), state !== "signed-out");
  setHidden(at("banner-gone"), state !== "not-found");
}

const RULES = { combine: t("overlaps combine"), largest: t("the largest position counts"), first: t("the earliest position counts") };

const POLICIES = { spot: t("spot policy"), perp: t("perp policy") };
const PROFILES = { conservative: t("conservative limits"), balanced: t("balanced limits"), aggressive: t("aggressive limits"), custom: t("custom limits") };

export function renderHead({ portfolio, traders }) {
  const active = Object.values(traders).filter((trader) => trader.follow_status === "active").length;
  setText(at("portfolio-name"), portfolio.name);
  const parts = [plural(active, "active trader"), t(portfolio.weighting === "custom" ? "your split" : "equal split"), RULES[portfolio.conflict_rule] ?? portfolio.conflict_rule, POLICIES[portfolio.policy] ?? portfolio.policy, PROFILES[portfolio.risk_profile] ?? portfolio.risk_profile];
  setText(at("portfolio-summary"), parts.join(", "));
  setHidden(at("not-diversified"), Object.keys(traders).length !== 1);
  const halted = portfolio.status !== "active";
  setHidden(at("banner-status"), !halted);
  setText(at("banner-status-title"), t(portfolio.status === "halted" ? "Halted." : "Reducing only."));
  setText(at("banner-status-reason"), portfolio.status_reason || (halted ? t("Nothing new is opened.") : ""));
  renderWorld(portfolio);
}

export function renderWorld(portfolio) {
  const node = at("world");
  const replay = portfolio.world?.startsWith("replay");
  setHidden(node, !portfolio.world);
  if (!portfolio.world) return;
  const parts = [portfolio.world_label ?? sentence(portfolio.world)];
  if (replay && portfolio.world_speed) parts.push(`${number(portfolio.world_speed, 0)}\u00d7`);
  if (replay) parts.push(fullMinute(worldNow(portfolio)) + (hasEnded(portfolio) ? t(", the end of the record") : ""));
  if (replay && Number(portfolio.run) > 1) parts.push(t("run {number}", { number: portfolio.run }));
  setText(at("world-label"), parts.join(" \u00b7 "));
  setText(at("world-note"), portfolio.price_note ?? "");
}

export function renderHealth({ health }) {
  setHidden(at("banner-marks"), !health.marks_stale);
  if (health.marks_stale) setText(at("banner-marks-since"), health.marks_received_at ? t("since {time}, {age} ago", { time: clock(health.marks_received_at), age: span(secondsSince(health.marks_received_at)) }) : "");
  for (const node of document.querySelectorAll("[data-prices]")) node.classList.toggle("is-stale", health.marks_stale);
  setHidden(at("banner-traders"), !health.traders_degraded);
  setText(at("banner-traders-count"), plural(health.traders_degraded ?? 0, "trader"));
}
