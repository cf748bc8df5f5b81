// Short notices at the edge of the page, read out politely; each can be changed while it stands.
import { element, icon, setClass, setIcon, setText } from "./dom.js";
import { t } from "./words.js";

const STATES = { working: ["hourglass", ""], done: ["circle-check", ""], refused: ["ban", "is-warn"], failed: ["triangle-alert", "is-down"] };
const DONE_MS = 8_000;

export class Toast {
  constructor(title) {
    this.root = element("div", "toast");
    this.mark = icon("hourglass");
    const words = element("p");
    words.append(element("b", "", title), " ", (this.text = element("span")));
    this.close = element("button", "btn btn-icon btn-quiet btn-s");
    this.close.type = "button";
    this.close.ariaLabel = t("Dismiss");
    this.close.append(icon("x"));
    this.close.addEventListener("click", () => this.root.remove());
    this.root.append(this.mark, words, this.close);
    document.getElementById("toasts").append(this.root);
  }

  /** Show a state; one that is done goes by itself, the others stay until they are dismissed. */
  show(state, text) {
    const [name, tone] = STATES[state];
    setIcon(this.mark, name);
    setClass(this.root, `toast ${tone}`.trim());
    setText(this.text, text);
    clearTimeout(this.timer);
    if (state === "done") this.timer = setTimeout(() => this.root.matches(":hover, :focus-within") || this.root.remove(), DONE_MS);
  }
}
