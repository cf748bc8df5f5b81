// Pieces that several regions show the same way.
import { DRAWN, element, setAttribute, setClass, setIcon, setText, svg } from "../dom.js";
import { MINUS, UNKNOWN, number, secondsBetween, span } from "../format.js";
import { spark } from "../geometry.js";
import { plural, t } from "../words.js";

/** Two letters on the trader's hue; slices without a trader are the owner's own. */
export const hueClass = (hue) => (hue ? `t${hue}` : "t-mine");
export const monogram = (slice) => (slice.follow_id === null ? "ME" : slice.monogram);

export function tile(holder, name) {
  const node = element("abbr", `tile ${hueClass(holder.hue)}`, monogram(holder));
  if (name) node.title = name;
  return node;
}

export const traderName = (view, followId) => (followId === null ? t("Mine") : view.traders[followId]?.name ?? t("A former trader"));

export function setSide(node, side) {
  const short = side === "SHORT";
  setAttribute(node.firstElementChild.firstElementChild, "d", short ? "m7 7 10 10M17 7v10H7" : "M7 7h10v10M7 17 17 7");
  setText(node.lastElementChild, t(side === "FLAT" ? "Flat" : short ? "Short" : "Long"));
}

/** Signed whole percent of a position: "65%", "−22%". */
export const sharePct = (value) => {
  const body = number(value, 0);
  return body === UNKNOWN ? body : `${body}%`;
};
export const isNegative = (text) => text.startsWith(MINUS);

/** Fill an <svg class="spark"> holding line, polyline and path. */
export function fillSpark(node, values, width, height) {
  const shape = spark(values ?? [], width, height);
  node.classList.toggle("is-empty", !shape);
  if (!shape) return;
  const [base, line, end] = node.children;
  setAttribute(base, "y1", shape.base);
  setAttribute(base, "y2", shape.base);
  setAttribute(line, "points", shape.points);
  setAttribute(end, "d", `M${shape.x} ${shape.y}h0`);
}

// Server time, so that ages are right on a computer whose clock is not.
let serverAhead_ms = 0;
export function learnServerTime(iso) {
  if (iso) serverAhead_ms = new Date(iso).getTime() - Date.now();
}
export const serverNow = () => Date.now() + serverAhead_ms;
export const secondsSince = (iso) => secondsBetween(iso, serverNow());

/**
 * The time of the portfolio's market world, in epoch ms: a replay runs from its anchor at its speed until its record
 * ends, the live world is now.
 */
export function worldNow({ world_anchor_at: anchor, anchored_at: anchored, world_speed: speed, world_end_at: end }) {
  if (!anchor || !anchored) return serverNow();
  const at = new Date(anchor).getTime() + (serverNow() - new Date(anchored).getTime()) * Number(speed ?? 1);
  return end ? Math.min(at, new Date(end).getTime()) : at;
}

/** State of a trader's sync: icon, words and tone. */
export function syncState(trader) {
  if (trader.follow_status === "paused") return { icon: "pause", tone: "warn", text: "Paused by you" };
  if (trader.follow_status === "leaving") return { icon: "hourglass", tone: "warn", text: "Leaving, closing its part" };
  if (trader.sync_status === "degraded") {
    const next = trader.next_sync_at ? secondsBetween(serverNow(), trader.next_sync_at) : null;
    return { icon: "triangle-alert", tone: "error", text: next > 0 ? `Failed, retry in ${span(next)}` : "Failed, retrying" };
  }
  if (!trader.synced_at) return { icon: "hourglass", tone: "", text: t("Waiting for the first read") };
  const age = span(secondsSince(trader.synced_at));
  if (trader.sync_status === "stale") return { icon: "clock", tone: "warn", text: t("Stale, read {age} ago", { age }) };
  if (trader.sync_status === "paused") return { icon: "pause", tone: "warn", text: t("Sync paused") };
  return { icon: "check", tone: "", text: t("Synced {age} ago", { age }) };
}

export function fillSync(node, trader) {
  const state = syncState(trader);
  setClass(node, `sync ${state.tone}`.trim());
  setIcon(node.firstElementChild, state.icon);
  setText(node.lastElementChild, state.text);
  setAttribute(node, "title", trader.error || null);
}

export const positions = (count) => plural(count, "position");

/** Rebuild the segments of a share bar only when they differ. */
export function fillAllocation(node, parts) {
  const key = JSON.stringify(parts);
  if (node[DRAWN] === key) return;
  node[DRAWN] = key;
  node.replaceChildren();
  let at = 0;
  const total = parts.reduce((sum, part) => sum + part.weight, 0) || 1;
  for (const part of parts) {
    const width = (part.weight / total) * 100;
    node.append(svg("rect", { class: `${hueClass(part.hue)} seg-on`, x: `${at}%`, width: `${width}%`, height: "100%" }));
    if (width > 4) {
      const label = svg("text", { class: "seg-text", x: `${at + width / 2}%`, y: "18" });
      label.textContent = part.monogram;
      node.append(label);
    }
    at += width;
  }
}

