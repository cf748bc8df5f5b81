// The title and the icon of the page say when something needs a decision; the bell counts unread alerts.
import { live } from "./live.js";

const title = document.title;
const icon = document.querySelector("link[rel=icon]"), calm = icon?.getAttribute("href");
const bell = document.getElementById("bell");

const waiting = (entries) => Object.values(entries ?? {});

/** How many things of a view wait for a person: conflicts, breakers that somebody must lift, orders without an answer. */
export function decisions(view) {
  const conflicts = waiting(view.conflicts).filter((conflict) => conflict.approval).length;
  const trips = (view.breakers?.trips ?? []).filter((trip) => trip.resets === "person").length;
  const unknown = waiting(view.orders).filter((order) => order.status === "unknown").length;
  return conflicts + trips + unknown;
}

function show() {
  if (!live.view) return;
  const count = decisions(live.view), unread = live.view.health?.alerts_unread;
  document.title = count ? `(${count}) ${title}` : title;
  const wanted = count ? icon?.dataset.attention : calm;
  if (icon && wanted && icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
  if (bell && unread !== undefined) {
    const badge = bell.querySelector(".count");
    badge.hidden = !unread;
    badge.lastChild.textContent = unread > 99 ? "99+" : String(unread);
  }
}

live.listeners.add(show);
show();
