// Regions the server draws: fetched anew when a section of the view they are made of has changed.
//
// A region carries an id and `data-fresh="orders conflicts"`. Whatever else is on the page stays as it is. The server
// sends the regions without the frame around them, or 304 when they are what is shown already.
import { serverNow } from "./regions/shared.js";
import { setText } from "./dom.js";

const LEAST_MS = 2_000; // between two fetches, where the page does not say
const FAILED_MS = 8_000;

export class FreshRegions {
  #timer = null;
  #last = 0;
  #missed = false;
  #tag = null;

  constructor() {
    this.every = Number(document.getElementById("main").dataset.freshMs ?? LEAST_MS);
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && this.#missed) this.#plan(0);
    });
  }

  /** Say which sections were touched; regions made of them are brought up to date soon. */
  changed(touched) {
    const stale = [...document.querySelectorAll("[data-fresh]")].some((region) => region.dataset.fresh.split(" ").some((name) => touched.has(name)));
    if (stale) this.#plan(Math.max(0, this.#last + this.every - performance.now()));
  }

  #plan(delay) {
    if (document.visibilityState === "hidden") return void (this.#missed = true);
    this.#timer ??= setTimeout(() => this.#load(), delay);
  }

  async #load() {
    this.#missed = false;
    this.#last = performance.now();
    try {
      const headers = { Accept: "text/html", "X-Regions": "1", ...(this.#tag && { "If-None-Match": this.#tag }) };
      const answer = await fetch(location.href, { headers, cache: "no-store" });
      this.#timer = null;
      if (answer.status === 304) return;
      if (!answer.ok || !answer.headers.get("ETag")) throw new Error(`the server answered ${answer.status}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("template").content;
      this.#tag = swap(fresh) ? answer.headers.get("ETag") : null; // what was not taken over is asked for again
    } catch {
      // The connection's own banner says what is wrong; the regions are tried again until they come.
      this.#timer = null;
      this.#plan(FAILED_MS);
    }
  }
}

const served = Symbol("markup as it came");
const TYPING = "input:not([type=radio], [type=checkbox]), select, textarea", REACHED = "a, button, input, select, textarea, summary, [tabindex]";

// Put the regions that differ in place; returns false when one is left as it is, because somebody types in it. What is
// ticked, unfolded, scrolled to or focused stays so.
function swap(page) {
  let all = true;
  for (const region of document.querySelectorAll("[data-fresh]")) {
    const fresh = page.getElementById(region.id), active = region.contains(document.activeElement) ? document.activeElement : null;
    if (!fresh || fresh.isEqualNode(region) || fresh.outerHTML === region[served]) continue; // parts of it may be drawn here
    if (active?.matches(TYPING)) {
      all = false;
      continue;
    }
    for (const box of region.querySelectorAll("input:checked")) {
      const again = box.id && fresh.querySelector(`#${CSS.escape(box.id)}`);
      if (again) again.checked = true;
    }
    for (const [index, box] of region.querySelectorAll("details").entries()) fresh.querySelectorAll("details")[index]?.toggleAttribute("open", box.open);
    const place = active && [...region.querySelectorAll(REACHED)].indexOf(active), scrolled = [...region.querySelectorAll("*")].map(({ scrollTop, scrollLeft }, index) => [index, scrollTop, scrollLeft]).filter(([, top, left]) => top || left);
    const adopted = document.adoptNode(fresh);
    adopted[served] = fresh.outerHTML;
    region.replaceWith(adopted);
    for (const [index, scrollTop, scrollLeft] of scrolled) Object.assign(adopted.querySelectorAll("*")[index] ?? {}, { scrollTop, scrollLeft });
    if (active) (active.id ? document.getElementById(active.id) : adopted.querySelectorAll(REACHED)[place])?.focus({ preventScroll: true });
  }
  countdowns();
  document.dispatchEvent(new Event("regionsfresh"));
  return all;
}

const two = (value) => String(value).padStart(2, "0");

/** Write the time left into every `<time data-until>`, and into the progress bar of its row. */
export function countdowns() {
  for (const node of document.querySelectorAll("[data-until]")) {
    const left = Math.max(0, Math.round((new Date(node.dataset.until).getTime() - serverNow()) / 1000));
    setText(node, `${two(Math.floor(left / 60))}:${two(left % 60)}`);
    const bar = node.closest("[data-countdown]")?.querySelector("progress");
    if (bar) bar.value = left;
  }
}
