// Numbers as people type them. The server's own reading is core/locales.py; both refuse what could mean two numbers.
import { SHAPE } from "./words.js";

const GROUPS = /[\s\u00a0\u202f]/g;

/**
 * What was typed as the plain number the server reads ("1234.5"); what is no number comes back as typed, and what
 * could mean two numbers in a form the server refuses.
 *
 * In English the point is the decimal sign and commas part thousands. Elsewhere comma and point are both taken for the
 * decimal sign, but "1,234" and "1.234" are left alone: they may mean thousands as well.
 */
export function plain(typed) {
  const text = typed.trim();
  if (SHAPE.decimal === ".") return text.replaceAll(",", "");
  const bare = text.replace(GROUPS, "").replace("\u2212", "-");
  return isAmbiguous(text) ? bare.replaceAll(".", ",") : bare.replace(",", ".");
}

/** A number of the server's as it may be typed again: in the reader's signs, never in a form that could mean two numbers. */
export function typeable(value) {
  if (SHAPE.decimal === "." || !/^-?\d+(\.\d+)?$/.test(value)) return value;
  const text = String(value).replace(".", SHAPE.decimal);
  return isAmbiguous(text) ? `${text}0` : text;
}

/** Whether somebody could mean a thousand where another means a fraction. */
export function isAmbiguous(typed) {
  const text = typed.trim().replace(GROUPS, "");
  return SHAPE.decimal !== "." && (/^[+\u2212-]?[1-9]\d{0,2}[.,]\d{3}$/.test(text) || /[.,].*[.,]/.test(text));
}
