// Draws exit rails: in the rows of the positions, in the dialog, on a position's page. Only what differs is touched.
import { element, icon, setAttribute, setClass, setHidden, setText } from "../dom.js";
import { railOf, railPaths, railWords } from "../exit_rail.js";
import { t } from "../words.js";

const PARTS = ["track", "gain", "loss", "locked", "ghost", "entry", "peak", "stop", "target", "halo", "mark"];
const KINDS = { stop_loss: t("Stop loss"), trailing: t("Trailing stop"), take_profit: t("Take profit"), time_stop: t("Time stop") };
const drawn = Symbol("paths drawn");

/** Draw a position's rail into a cell of the `exit-cell` markup. */
export function drawExit(cell, position) {
  const rail = railOf(position), { exits } = position;
  const now = (cell[drawn] ??= partsOf(cell));
  setClass(cell, `exit${position.mark_stale ? " is-stale" : ""}${exits?.trigger ? " is-hit" : ""}`);
  setHidden(now.none, Boolean(rail));
  setAttribute(now.svg, "hidden", rail ? null : ""); // an SVG has no property for it
  setHidden(now.ends, !rail);
  if (rail) {
    const paths = railPaths(rail), words = railWords(rail, position);
    for (const part of PARTS) {
      if (now.shown[part] === paths[part]) continue;
      now.shown[part] = paths[part];
      now.paths[part].setAttribute("d", paths[part]);
    }
    setText(now.stop, words.stop);
    setText(now.stopAway, words.stopAway);
    setClass(now.stopAway, words.close ? "warn" : "");
    setText(now.targetAway, words.targetAway);
    setText(now.target, words.target);
    setAttribute(now.svg, "aria-label", words.label);
  }
  showTrigger(cell, now, exits?.trigger);
}

function partsOf(cell) {
  const svg = cell.querySelector(".rail"), ends = cell.querySelector(".exit-ends"), [left, right] = ends.children;
  return {
    svg, ends, none: cell.querySelector(".exit-none"), shown: {}, chip: null,
    paths: Object.fromEntries(PARTS.map((part) => [part, svg.querySelector(`.rail-${part}`)])),
    stop: left.firstElementChild, stopAway: left.lastElementChild, targetAway: right.firstElementChild, target: right.lastElementChild,
  };
}

/** A rule was hit and is closing: said with its kind until it is done. */
function showTrigger(cell, now, trigger) {
  if (!trigger) {
    now.chip?.remove();
    now.chip = null;
    return;
  }
  if (!now.chip) {
    now.chip = element("span", "chip chip-accent");
    now.chip.append(icon("shield-check"), element("span"));
    cell.append(now.chip);
  }
  setText(now.chip.lastElementChild, t(trigger.status === "waiting" ? "{rule} waits for another order" : "{rule} is closing it", { rule: KINDS[trigger.kind] ?? trigger.kind }));
  setAttribute(now.chip, "title", trigger.text || null);
}
