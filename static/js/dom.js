// Small helpers for keyed updates: clone a <template>, remember its slots, touch only what differs.

/** Under this name a node remembers what it was last drawn from. */
export const DRAWN = Symbol("drawn from");
const SVG = "http://www.w3.org/2000/svg";

/** Clone a template's single root; `slots` maps every data-slot name to its node. */
export function clone(template) {
  const root = template.content.firstElementChild.cloneNode(true);
  const slots = {};
  if (root.dataset.slot) slots[root.dataset.slot] = root;
  for (const node of root.querySelectorAll("[data-slot]")) slots[node.dataset.slot] = node;
  return { root, slots };
}

const shown = Symbol("text shown");
/** Show text; what is shown already costs a comparison, a change touches the text node alone. */
export function setText(node, text) {
  if (node[shown] === text) return;
  node[shown] = text;
  const child = node.firstChild;
  if (child?.nodeType === 3 && !child.nextSibling) child.data = text;
  else node.textContent = text;
}

export function setClass(node, name) {
  if (node.getAttribute("class") !== name) node.setAttribute("class", name);
}

export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export const setHidden = (node, hidden) => {
  if (node.hidden !== hidden) node.hidden = hidden;
};

const FLASH_MS = 700;
const ticked = Symbol("value shown"), flashing = new Map();
/**
 * Show a changing number and mark it for a moment when it moved up or down.
 * The mark is put on and taken off, not animated: with dozens of values a fade costs a repaint in every frame.
 */
export function setTick(node, value, text) {
  setText(node, text);
  const now = Number(value), before = node[ticked];
  node[ticked] = now;
  if (before === undefined || before === now || Number.isNaN(now) || Number.isNaN(before)) return;
  node.dataset.flash = now > before ? "up" : "down";
  if (!flashing.size) setTimeout(calm, FLASH_MS);
  flashing.set(node, performance.now() + FLASH_MS);
}

function calm() {
  const now = performance.now();
  for (const [node, until] of flashing) {
    if (until > now + 30) continue;
    flashing.delete(node);
    delete node.dataset.flash;
  }
  if (flashing.size) setTimeout(calm, FLASH_MS / 2);
}

export function setIcon(node, name) {
  const use = node.firstElementChild;
  if (use.getAttribute("href") !== `#i-${name}`) use.setAttribute("href", `#i-${name}`);
}

export function svg(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

export function icon(name) {
  const root = svg("svg", { class: "icon", "aria-hidden": "true" });
  root.append(svg("use", { href: `#i-${name}` }));
  return root;
}

export function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** A list of rows, one per key, in the order of `compare`. */
export class KeyedList {
  constructor(parent, template, fill, compare) {
    Object.assign(this, { parent, template, fill, compare, rows: new Map() });
  }

  /**
   * Bring the rows in line with `entities`. `keys` limits the refill to those touched; null refills all.
   * `most` draws only so many, the first in order: the others are drawn when they are touched, or by a call without it.
   */
  sync(entities, keys, context, most = Infinity) {
    for (const [key, row] of this.rows) {
      if (key in entities) continue;
      row.root.remove();
      row.extra?.remove();
      this.rows.delete(key);
    }
    for (const key of this.#wanted(entities, keys, most)) {
      const entity = entities[key];
      if (!entity) continue;
      let row = this.rows.get(key);
      if (!row) this.rows.set(key, (row = clone(this.template)));
      row.entity = entity;
      this.fill(row, entity, context);
    }
    this.#order();
  }

  #wanted(entities, keys, most) {
    const all = keys ?? Object.keys(entities);
    if (most === Infinity) return all;
    return [...all].filter((key) => entities[key]).sort((a, b) => this.compare(entities[a], entities[b])).slice(0, most);
  }

  /** Keys of `entities` that have no row yet. */
  missing(entities) {
    return new Set(Object.keys(entities).filter((key) => !this.rows.has(key)));
  }

  #order() {
    const rows = [...this.rows.values()].sort((a, b) => this.compare(a.entity, b.entity));
    if (!rows.some(({ root }) => root.parentNode)) return this.parent.replaceChildren(...rows.map(({ root }) => root));
    let at = this.parent.firstElementChild;
    for (const row of rows) {
      if (row.root === at) at = at.nextElementSibling;
      else this.parent.insertBefore(row.root, at);
      if (row.extra) {
        if (row.extra === at) at = at.nextElementSibling;
        else this.parent.insertBefore(row.extra, at);
      }
    }
    while (at) {
      const next = at.nextElementSibling;
      at.remove();
      at = next;
    }
  }
}
