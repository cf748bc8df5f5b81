// Dialogs in which a person asks for something. Loaded when the first one is opened.
//
// A control says what: data-ask is the kind of command, data-data its data as JSON, data-title, data-text and
// data-button the words; data-reason asks for a reason, data-flag for a yes or no, data-phrase for a phrase that must be typed.
import { clone, setHidden, setText } from "./dom.js";
import { follow, newKey, send } from "./commands.js";
import { provisional } from "./provisional.js";
import { Toast } from "./toast.js";
import { blame, openExits } from "./exits_dialog.js";
import { openClose, openEntry } from "./own_orders.js";
import { t } from "./words.js";

const SPECIAL = { close: openClose, entry: openEntry, exits: openExits };

let asker = null; // whose dialog is opened

/** Open the dialog of a control. */
export function ask(control) {
  const special = SPECIAL[control.dataset.ask];
  asker = control;
  if (special) special(control);
  else openPlain(control.dataset);
}

function openPlain({ ask: kind, data, title, text, button, tone, reason, phrase, flag, flagLabel }) {
  const { root, slots } = clone(document.getElementById("ask-dialog"));
  setText(slots.title, title);
  setText(slots.text, text ?? "");
  setHidden(slots.mark, tone !== "danger");
  setText(slots.submit, button);
  if (tone === "danger") slots.submit.className = "btn btn-danger";
  setHidden(slots.reasonField, !reason);
  setHidden(slots.text, !text);
  slots.reason.required = reason === "required";
  slots.reason.disabled = !reason;
  (phrase ? slots.phrase : slots.reason).autofocus = true;
  setHidden(slots.flagField, !flag);
  setText(slots.flagLabel, flagLabel ?? "");
  setHidden(slots.phraseField, !phrase);
  if (phrase) {
    setText(slots.phraseWord, phrase);
    slots.phrase.dataset.confirm = phrase;
    slots.phrase.dataset.confirmFor = "ask-submit";
    slots.submit.disabled = true;
  }
  openDialog(root, slots, { kind, title, read: () => ({ ...JSON.parse(data ?? "{}"), ...(reason && { reason: slots.reason.value.trim() }), ...(flag && { [flag]: slots.flag.checked }), ...(phrase && { confirm: slots.phrase.value.trim() }) }) });
}

/**
 * Show a dialog whose form is a command. `read` returns its data, given the button that was pressed; `slots` has
 * error and submit. What the server objects to stands beside the [data-field] it names, else above the buttons.
 * An answer that never came leaves the form as it was sent: only the very same may be sent again.
 */
export function openDialog(root, slots, { kind, title, read }) {
  const form = root.querySelector("form"), control = asker;
  let key = newKey(), sent = null;
  document.body.append(root);
  root.addEventListener("close", () => root.remove());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.getAttribute("aria-busy")) return;
    const data = (sent ??= read(event.submitter)), words = slots.submit.textContent;
    setHidden(slots.error, true);
    lock(form, true);
    form.setAttribute("aria-busy", "true");
    setText(slots.submit, t("Sending"));
    const { command, refused, errors = {}, unsure } = await send({ kind, data, key });
    form.removeAttribute("aria-busy");
    if (!command && !root.isConnected) {
      new Toast(title).show(refused ? "refused" : "failed", refused ?? `${unsure} ${t("It may have arrived all the same: look at the newest commands.")}`);
    } else if (command) {
      root.close();
      provisional(control, { ...command, kind }, data);
      follow(command, title);
    } else if (refused) {
      lock(form, false);
      setText(slots.submit, words);
      const others = blame(root, errors);
      if (others.length || !Object.keys(errors).length) complain(slots.error, others.join(" ") || refused);
      [key, sent] = [newKey(), null];
    } else {
      slots.submit.disabled = false;
      setText(slots.submit, t("Send again"));
      complain(slots.error, `${unsure} ${t("It may have arrived. Sending it again is safe: it is done once.")}`);
    }
  });
  root.showModal();
}

function lock(form, locked) {
  for (const field of form.querySelectorAll("input, select, button:not([data-close])")) {
    if (locked) field.dataset.was = field.disabled;
    field.disabled = locked || field.dataset.was === "true";
  }
}

function complain(node, text) {
  setText(node.lastElementChild, text);
  setHidden(node, false);
}
