// What was asked for and is not settled yet: its control rests, and its row is dotted and says what is to come.
import { setClass } from "./dom.js";
import { t } from "./words.js";

const COMING = {
  close: ({ percent }) => t("closing {percent}%", { percent }), exits: () => t("new exits under way"), cancel: () => t("being cancelled"), entry: () => t("being placed"),
  follow_pause: () => t("pausing"), follow_resume: () => t("resuming"), approve: () => t("approved, being carried out"), reject: () => t("rejecting"),
  breaker_reset: () => t("resetting"), resume: () => t("resuming"), mode: () => t("changing"), emergency_stop: () => t("stopping"),
};
const open = new Map();

/** Mark the control of an accepted command, and the row it stands in, until the command has ended. */
export function provisional(control, command, data) {
  if (!control) return;
  open.set(command.id, { control, id: control.id, text: (COMING[command.kind] ?? (() => t("under way")))(data) });
  mark(open.get(command.id), true);
}

function mark({ control, text }, on) {
  const row = control.closest("tr, .item, .card, .setting, .banner, .rule, .decide");
  control.disabled = on;
  if (on) control.setAttribute("aria-busy", "true");
  else control.removeAttribute("aria-busy");
  if (!row) return;
  setClass(row, on ? `${row.className} is-provisional` : row.className.replace(" is-provisional", ""));
  const says = row.querySelector(":scope > th") ?? row;
  if (on) says.dataset.coming = text;
  else delete says.dataset.coming;
}

document.addEventListener("commandend", ({ detail: { id } }) => {
  const asked = open.get(id);
  if (!open.delete(id)) return;
  mark(asked, false);
});

// A region that came fresh from the server has new controls.
document.addEventListener("regionsfresh", () => {
  for (const asked of open.values()) {
    const again = asked.id && document.getElementById(asked.id);
    if (!again || again === asked.control) continue;
    asked.control = again;
    mark(asked, true);
  }
});
