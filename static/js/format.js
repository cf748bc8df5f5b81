// Text for numbers and times. Decimals arrive as strings and become numbers here, for display only.
import { SHAPE, t } from "./words.js";

export const MINUS = "\u2212";
export const UNKNOWN = "\u2013";

// By hand: the first Intl formatter of a page costs more than all numbers of a first paint.
function grouped(value, digits) {
  const size = Math.abs(value), body = size.toFixed(digits);
  return localised(size < 999.5 ? body : body.replace(/\B(?<!\.\d*)(?=(\d{3})+(?!\d))/g, ","));
}

/** Digits written with a point and commas, in the signs of the reader's language. */
export const localised = SHAPE.decimal === "." ? (body) => body : (body) => body.replace(/[.,]/g, (sign) => (sign === "." ? SHAPE.decimal : SHAPE.group));
const dollars = SHAPE.dollarsLast ? (body) => `${body}\u00a0$` : (body) => `$${body}`;

/** A number as it is, without trailing zeros or groups. */
export const plainNumber = (value) => localised(String(Number(value)));

export const known = (value) => value !== null && value !== undefined && value !== "";
const isZero = (body) => !/[1-9]/.test(body);

/** "1,234.50", minus as U+2212, an en dash when unknown. */
export function number(value, digits = 2) {
  if (!known(value)) return UNKNOWN;
  const body = grouped(value, digits);
  return Number(value) < 0 && !isZero(body) ? MINUS + body : body;
}

/** As `number`, with the sign always shown unless the shown digits are all zero. `dress` may add a unit to the digits. */
export function signed(value, digits = 2, dress = (body) => body) {
  if (!known(value)) return UNKNOWN;
  const body = grouped(value, digits);
  if (isZero(body)) return dress(body);
  return (Number(value) > 0 ? "+" : MINUS) + dress(body);
}

export function usd(value, digits = 2) {
  if (!known(value)) return UNKNOWN;
  const body = grouped(value, digits);
  return (Number(value) < 0 && !isZero(body) ? MINUS : "") + dollars(body);
}

export const signedUsd = (value, digits = 2) => signed(value, digits, dollars);
export const percent = (value, digits = 2) => (known(value) ? number(value, digits) + "%" : UNKNOWN);
export const signedPercent = (value, digits = 2) => (known(value) ? signed(value, digits) + "%" : UNKNOWN);

/** "up", "down" or "flat": the class that gives a result its colour and triangle. Follows what the digits show. */
export function tone(value, digits = 2) {
  if (!known(value) || isZero(grouped(value, digits))) return "flat";
  return Number(value) > 0 ? "up" : "down";
}

/** Decimals for a price of this size: about six digits in all, so 107,310.0 and 0.19210. */
export function priceDigits(reference) {
  const size = Math.abs(Number(reference));
  if (!size) return 2;
  const magnitude = Math.floor(Math.log10(size));
  if (magnitude >= 4) return 1;
  if (magnitude >= 1) return 2;
  return Math.min(10, 4 - magnitude);
}

/** Decimals for a quantity of something that costs `price`: steps worth roughly one to ten dollars. */
export function quantityDigits(price) {
  const size = Math.abs(Number(price));
  if (!size) return 4;
  return Math.max(0, Math.min(6, Math.floor(Math.log10(size))));
}

/** "Long 0.4120", "Short 92.0" or "Flat". */
export function stance(quantity, digits) {
  const value = Number(quantity);
  if (!value) return t("Flat");
  return t(value > 0 ? "Long {size}" : "Short {size}", { size: grouped(value, digits) });
}

// Times. The API speaks UTC; the page shows the reader's zone, which the footer names. The server sends the zone's changes
// of offset as "seconds:minutes" pairs, oldest first, so that no Intl formatter is needed and both switches of a year are right.
const two = (value) => String(value).padStart(2, "0");
const { offsets = "", zone = "UTC" } = document.documentElement.dataset;
const CHANGES = offsets.split(",").filter(Boolean).map((pair) => pair.split(":").map(Number)).reverse();

/** Epoch milliseconds or ISO text as a Date whose UTC fields are those of the reader's clock. */
function onClock(at) {
  const time = new Date(at).getTime(), change = CHANGES.find(([from]) => from * 1000 <= time) ?? CHANGES.at(-1);
  return new Date(time + (change ? change[1] * 60_000 : 0));
}

/** A time of the reader's clock with the zone's name, where it stands alone. */
export const zoned = (text) => `${text} ${zone}`;

const minuteOf = (at) => `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
const dayOf = (at) => `${at.getUTCDate()} ${SHAPE.months[at.getUTCMonth()]}`;

export const clockMinute = (iso) => minuteOf(onClock(iso));
export function clock(iso) {
  const at = onClock(iso);
  return `${minuteOf(at)}:${two(at.getUTCSeconds())}`;
}
export const day = (iso) => dayOf(onClock(iso));
export function dayMinute(iso) {
  const at = onClock(iso);
  return `${dayOf(at)} ${minuteOf(at)}`;
}
export function fullMinute(iso) {
  const at = onClock(iso);
  return `${dayOf(at)} ${at.getUTCFullYear()} ${minuteOf(at)}`;
}
/** "Nov", or the year. */
export function month(iso, year = false) {
  const at = onClock(iso);
  return year ? String(at.getUTCFullYear()) : SHAPE.months[at.getUTCMonth()];
}

/** "3 s", "4 min", "2 h 05 min" or "3 d 04 h" for a span in seconds; never negative. */
export function span(seconds) {
  const total = Math.max(0, Math.round(seconds));
  if (total < 60) return `${total} s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

/** "14 d", "36 h" or "1.5 h" for a span that a person chose, in seconds. */
export function days(seconds) {
  const hours = seconds / 3600;
  if (hours >= 48 && hours % 24 === 0) return `${hours / 24} d`;
  if (hours >= 48) return `${number(hours / 24, 1)} d`;
  return `${number(hours, hours % 1 ? 1 : 0)} h`;
}

/** Seconds from one time to another; both ISO text or epoch milliseconds. */
export const secondsBetween = (from, to) => (new Date(to).getTime() - new Date(from).getTime()) / 1000;

export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");
