import { apply, difference, mergeTouched, touched } from "./state.js";

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

/** What a page does with its socket's messages: bring `view` up to date, then draw what that touched. */
export function listener(view, page) {
  const schedule = frameBatch(page);
  const change = (message) => {
    apply(view, message);
    schedule(touched(message));
  };
  return { change, snapshot: (fresh) => change(difference(view, fresh)) };
}
