import { mergeTouched } from "./state.js";

/** A function that collects what changed and has `page.render` show it once, in the next frame. */
export function frameBatch(page) {
  let pending = null;
  return (changed) => {
    if (pending) return void mergeTouched(pending, changed);
    pending = mergeTouched(new Map(), changed);
    requestAnimationFrame(() => {
      const now = pending;
      pending = null;
      page.render(now);
    });
  };
}
