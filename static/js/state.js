// The page's copy of one portfolio. Twin of core/events.py: both sides apply a change the same way,
// so an old snapshot plus its changes equals a fresh snapshot.

export const RECORD_SECTIONS = ["portfolio", "kpis", "capital", "breakers", "curve", "health"];
export const KEYED_SECTIONS = ["traders", "positions", "conflicts", "orders", "commands", "activity"];

/**
 * Apply one change in place and return the view.
 * A record section is replaced whole; in a keyed section each named entity is replaced whole, then dropped keys go.
 */
export function apply(view, change) {
  for (const [section, value] of Object.entries(change.set ?? {})) {
    if (KEYED_SECTIONS.includes(section)) Object.assign((view[section] ??= {}), value);
    else view[section] = value;
  }
  for (const [section, keys] of Object.entries(change.drop ?? {})) {
    for (const key of keys) delete view[section]?.[key];
  }
  return view;
}

const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

/** The change that turns `view` into `fresh`, so that a snapshot redraws only what it really changes. */
export function difference(view, fresh) {
  const set = {}, drop = {};
  for (const section of RECORD_SECTIONS) if (!same(view[section], fresh[section])) set[section] = fresh[section];
  for (const section of KEYED_SECTIONS) {
    const before = view[section] ?? {}, after = fresh[section] ?? {};
    const changed = Object.entries(after).filter(([key, entity]) => !same(before[key], entity));
    const gone = Object.keys(before).filter((key) => !(key in after));
    if (changed.length) set[section] = Object.fromEntries(changed);
    if (gone.length) drop[section] = gone;
  }
  return { set, drop };
}

/** What a change touches: Map of section to the Set of touched keys (null for a record section). */
export function touched(change) {
  const result = new Map();
  for (const [section, value] of Object.entries(change.set ?? {})) {
    result.set(section, KEYED_SECTIONS.includes(section) ? new Set(Object.keys(value)) : null);
  }
  for (const [section, keys] of Object.entries(change.drop ?? {})) {
    if (!result.has(section)) result.set(section, new Set());
    for (const key of keys) result.get(section).add(key);
  }
  return result;
}

/** Everything, as `touched` would report it: for the first render and after a snapshot. */
export const everything = () => new Map([...RECORD_SECTIONS, ...KEYED_SECTIONS].map((section) => [section, null]));

/** Merge two reports of touched sections; null means the whole section. */
export function mergeTouched(into, more) {
  for (const [section, keys] of more) {
    const known = into.get(section);
    if (!into.has(section)) into.set(section, keys && new Set(keys));
    else if (known && keys) for (const key of keys) known.add(key);
    else into.set(section, null);
  }
  return into;
}
