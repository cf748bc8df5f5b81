"""The positions of a state file: names, sides, costs and levels; see ``engine.domain.state_file``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from core.decimals import EXACT, MONEY_STEP, PRICE_STEP, QUANTITY_STEP, ZERO, plain
from engine.domain.state_types import (
    AMOUNT_MAX,
    CENT,
    FilePosition,
    Told,
    first_amount,
    place_at,
    unknown_note,
)

POSITIONS_MAX: Final = 200
_SYMBOL: Final = ("symbol", "coin", "instrument", "asset")
_SIZE: Final = ("size", "quantity", "qty", "amount", "units")
_SIDE: Final = ("side", "direction")
_ENTRY: Final = ("entry_price", "entry", "avg_price", "average_price", "avg_entry_price")
_MARK: Final = ("mark_price", "current_price", "last_price")
_STOP: Final = ("stop_price", "stop_loss", "sl")
_TARGET: Final = ("target_price", "take_profit", "profit_target", "tp")
_LONG: Final = frozenset({"long", "buy"})
_SHORT: Final = frozenset({"short", "sell"})
_SUFFIXES: Final = ("/USDT:USDT", "/USDC:USDC", "/USDT", "/USDC", "/USD", "-PERP", "-USD", "USDT", "USDC")
POSITIONS: Final = ("positions", "open_positions", "holdings")


@dataclass(frozen=True, slots=True)
class Placed:
    place: str
    position: FilePosition
    leverage: Decimal | None


def positions_read(part: Mapping[str, Any], place: str, trader: str, told: Told) -> list[Placed]:
    named = [name for name in POSITIONS if part.get(name) is not None]
    if len(named) > 1:
        told.fatal(place_at(place, named[0]), f"There are several: {', '.join(named)}. Keep one.")
    raw = part[named[0]] if named else {}
    at = place_at(place, named[0]) if named else place
    if isinstance(raw, list):
        rows = [(f"{at}.{number}", "", row) for number, row in enumerate(raw)]
    elif isinstance(raw, dict):
        rows = [(f"{at}.{key}", key, row) for key, row in raw.items()]
    else:
        told.fatal(at, "It is neither a list nor an object of positions.")
        return []
    if len(rows) > POSITIONS_MAX:
        told.fatal(at, f"There are {len(rows)}, the most is {POSITIONS_MAX}.")
        return []
    found = (_position(row, where, key, trader, told) for where, key, row in rows)
    return [placed for placed in found if placed is not None]


def _position(row: object, place: str, key: str, trader: str, told: Told) -> Placed | None:
    if row is None:
        told.note(place, "Nothing is held.")
        return None
    if not isinstance(row, dict):
        told.fatal(place, "It is no object with size and entry price.")
        return None
    unknown_note(
        row, place,
        (*_SYMBOL, *_SIZE, *_SIDE, *_ENTRY, *_MARK, *_STOP, *_TARGET, "cost", "leverage", "trader", "traders",
         "opened_at"),
        told,
    )  # fmt: skip
    code = code_of(next((str(row[name]) for name in _SYMBOL if row.get(name)), key))
    size, entry = first_amount(row, _SIZE, place, told), first_amount(row, _ENTRY, place, told)
    cost = first_amount(row, ("cost",), place, told)
    if size == 0:
        told.note(place, "Its size is 0; nothing is held.")
        return None
    if not code or size is None or (entry is None and cost is None) or (entry is not None and entry <= 0):
        told.fatal(place, "A position needs a symbol, a size and an entry price above zero.")
        return None
    quantity = _signed(row, size, place, told)
    if quantity is None:
        return None
    booked = _cost(quantity, entry, cost, place, told)
    if not PRICE_STEP <= abs(booked) / abs(quantity) <= AMOUNT_MAX or abs(booked) > AMOUNT_MAX:
        told.fatal(place, f"{plain(quantity)} for {plain(booked)} is no position that can be kept.")
        return None
    leverage = first_amount(row, ("leverage",), place, told, fatal=False)
    whose = row.get("traders") if isinstance(row.get("traders"), list) else [row.get("trader") or trader]
    position = FilePosition(
        code=code,
        quantity=quantity,
        cost=booked,
        mark=first_amount(row, _MARK, place, told, fatal=False),
        stop=_level(row, _STOP, booked / quantity, place, told),
        target=_level(row, _TARGET, booked / quantity, place, told),
        traders=tuple(str(name) for name in whose or () if name),
    )
    return Placed(place, position, leverage)


def _signed(row: Mapping[str, Any], size: Decimal, place: str, told: Told) -> Decimal | None:
    """Return the size with its side's sign, of at most 12 places."""
    sides = {str(row[name]).strip().lower() for name in _SIDE if row.get(name)}
    if size != size.quantize(QUANTITY_STEP, context=EXACT):
        told.fatal(place, f"Its size {plain(size)} has more than 12 places.")
        return None
    if not sides:
        return size
    up, down = sides <= _LONG, sides <= _SHORT
    if not (up or down):
        told.fatal(place, f"Its side is “{', '.join(sorted(sides))}”; it must be long or short.")
        return None
    if size < 0 and up:
        told.fatal(place, "Its size is below zero and its side is long.")
        return None
    return abs(size) if up else -abs(size)


def _cost(quantity: Decimal, entry: Decimal | None, cost: Decimal | None, place: str, told: Told) -> Decimal:
    """Return what it cost, signed: as stated, else quantity × entry price; the two must agree to a cent."""
    worked = None
    if entry is not None:
        if entry != entry.quantize(PRICE_STEP, context=EXACT):
            entry = entry.quantize(PRICE_STEP, context=EXACT)
            told.note(f"{place}.entry_price", f"It has more than 12 places; {plain(entry)} is taken.")
        worked = EXACT.multiply(quantity, entry).quantize(MONEY_STEP, context=EXACT)
    if cost is None:
        return worked or ZERO
    stated = abs(cost).copy_sign(quantity).quantize(MONEY_STEP, context=EXACT)
    if stated == 0 or (worked is not None and abs(stated - worked) > CENT):
        told.fatal(f"{place}.cost", f"It is {plain(cost)}, size × entry price is {plain(worked or ZERO)}.")
    return stated


def _level(
    row: Mapping[str, Any], names: tuple[str, ...], entry: Decimal, place: str, told: Told
) -> Decimal | None:
    """Return a stop's or a target's price; one that cannot be a price of this position is told."""
    level = first_amount(row, names, place, told, fatal=False)
    if not level:
        return None
    if not entry / 5 <= level <= entry * 5:
        told.note(place, f"{plain(level)} ({' or '.join(names)}) is no price near its entry; left out.")
        return None
    return level.quantize(PRICE_STEP, context=EXACT)


def code_of(symbol: str) -> str:
    """Return our instrument's name for a symbol: BTC/USDT:USDT, BTCUSDT, BTC-PERP and btc are BTC."""
    text = symbol.strip()
    for suffix in _SUFFIXES:
        if text.upper().endswith(suffix) and len(text) > len(suffix):
            text = text[: -len(suffix)]
            break
    return text if any(letter.isupper() for letter in text) else text.upper()


def positions_merge(found: list[Placed], told: Told) -> list[Placed]:
    """Return one position per instrument: several traders on one side add up, on two sides are refused."""
    merged: dict[str, Placed] = {}
    for placed in found:
        code = placed.position.code
        before = merged.get(code)
        if before is None:
            merged[code] = placed
            continue
        one, other = before.position, placed.position
        if one.quantity * other.quantity < 0:
            told.fatal(placed.place, f"{code} is held long and short ({before.place}). Close one first.")
            continue
        same = FilePosition(
            code=code,
            quantity=one.quantity + other.quantity,
            cost=one.cost + other.cost,
            mark=one.mark if one.mark is not None else other.mark,
            stop=one.stop if one.stop == other.stop else None,
            target=one.target if one.target == other.target else None,
            traders=(*one.traders, *other.traders),
        )
        if same.stop is None and (one.stop or other.stop):
            told.note(placed.place, f"Stops of {code} differ between traders; the portfolio's own applies.")
        merged[code] = Placed(before.place, same, before.leverage)
    return list(merged.values())


def fills_of(*, quantity: Decimal, cost: Decimal) -> tuple[tuple[Decimal, Decimal], ...]:
    """Return (unsigned quantity, price) of one or two fills that cost exactly ``cost`` in all.

    A price has 12 places. Where no such price gives the cost, a part is filled one step higher.

    :param quantity, cost: signed alike, neither zero
    """
    size, worth = abs(quantity), abs(cost)
    low = EXACT.divide(worth, size).quantize(PRICE_STEP, rounding="ROUND_FLOOR", context=EXACT)
    missing = EXACT.subtract(worth, EXACT.multiply(size, low))
    above = EXACT.divide(missing, PRICE_STEP).quantize(QUANTITY_STEP, context=EXACT)
    parts = ((EXACT.subtract(size, above), low), (above, EXACT.add(low, PRICE_STEP)))
    return tuple((part, price) for part, price in parts if part > 0)
