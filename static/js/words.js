// Words in the reader's language. The English text is its own key. The catalogue of another language is a script of its
// own that base.html loads before this one, so English costs nothing and a catalogue that fails to load leaves English.

const { texts = {}, forms = {}, rule, shape } = globalThis.ensembleWords ?? {};

/** How this language writes numbers, money and months. */
export const SHAPE = shape ?? {
  decimal: ".", group: ",", dollarsLast: false, months: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
};

/** The text in the reader's language; each {name} in it becomes that value. */
export function t(text, values) {
  const found = texts[text] ?? text;
  return values ? found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole) : found;
}

/** "1 position", "3 positions": the number with the form its language asks for. Both forms are English, written out. */
export function plural(count, one, many = `${one}s`) {
  const all = forms[one];
  return `${count} ${all ? all[rule(count)] : count === 1 ? one : many}`;
}
