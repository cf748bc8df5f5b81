// What the parts of a page may know of its live view: the newest state, and word when something in it changed.

export const live = { view: null, listeners: new Set() };

/** Hand on what a page has just shown; `touched` as in state.js. */
export function tell(view, touched) {
  live.view = view;
  for (const listener of live.listeners) listener(touched);
}
