// Behaviour of every page: theme, dialogs, segmented switches, forms that can be pressed twice without harm.
import { t } from "./words.js";
import "./attention.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

document.addEventListener("click", (event) => {
  const at = (selector) => event.target.closest(selector);
  if (at("[data-theme-toggle]")) toggleTheme();
  const opener = at("[data-open]");
  if (opener) document.getElementById(opener.dataset.open)?.showModal();
  const control = at("[data-ask]");
  if (control) asking().then(({ ask }) => ask(control), unloaded);
  if (at("[data-close]") || event.target.matches("dialog")) at("dialog")?.close();
  const choice = at(".seg > button");
  if (choice) for (const button of choice.parentElement.children) button.setAttribute("aria-pressed", String(button === choice));
});

// The dialogs' code is fetched when the page has long been drawn, so that a stop can be asked for on a line that fails later.
const asking = () => import("./ask.js");
if (document.querySelector("[data-ask]")) setTimeout(() => asking().catch(() => {}), 3_000); // a press tries again, and says so
function unloaded() {
  document.getElementById("toasts").textContent = t("This dialog did not load: the network seems to be away. Press again.");
}

// The server reads this cookie, so the next page is painted in the right theme from the start.
function toggleTheme() {
  const root = document.documentElement, now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax${secure}`;
  document.dispatchEvent(new Event("themechange"));
}

// A form is sent once; the server also refuses the same form token twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "dialog") return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "1";
  form.setAttribute("aria-busy", "true");
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
});

// Guarded actions: the button wakes up when the phrase matches exactly, and falls asleep when its dialog closes.
document.addEventListener("input", ({ target }) => {
  if (target.dataset.confirm) document.getElementById(target.dataset.confirmFor).disabled = target.value.trim() !== target.dataset.confirm;
});
document.addEventListener("close", ({ target }) => {
  target.querySelector("form")?.reset();
  for (const input of target.querySelectorAll("[data-confirm]")) document.getElementById(input.dataset.confirmFor).disabled = true;
}, true);

// What the server said about the form is where the person looks first.
document.querySelector("[aria-invalid=true]")?.focus();
