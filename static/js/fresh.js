// Regions the server draws: fetched anew when a section of the view they are made of has changed.
//
// A region carries an id and `data-fresh="orders conflicts"`. Whatever else is on the page stays as it is.
import { serverNow } from "./regions/shared.js";
import { setText } from "./dom.js";

const LEAST_MS = 2_000; // between two fetches, where the page does not say
const FAILED_MS = 8_000;

export class FreshRegions {
  #timer = null;
  #last = 0;
  #missed = false;

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
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      this.#timer = null;
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // The connection's own banner says what is wrong; the regions are tried again until they come.
      this.#timer = null;
      this.#plan(FAILED_MS);
    }
  }
}

// A region in which somebody types keeps what was typed; a focused link or button is focused again.
function swap(page) {
  for (const region of document.querySelectorAll("[data-fresh]")) {
    const fresh = page.getElementById(region.id), active = region.contains(document.activeElement) ? document.activeElement : null;
    if (!fresh || fresh.isEqualNode(region) || active?.matches("input:not([type=radio], [type=checkbox]), select, textarea")) continue;
    for (const box of region.querySelectorAll("input:checked")) {
      const again = box.id && fresh.querySelector(`#${CSS.escape(box.id)}`);
      if (again) again.checked = true;
    }
    for (const [index, box] of region.querySelectorAll("details").entries()) fresh.querySelectorAll("details")[index]?.toggleAttribute("open", box.open);
    region.replaceWith(fresh);
    if (active?.id) document.getElementById(active.id)?.focus();
  }
  countdowns();
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
