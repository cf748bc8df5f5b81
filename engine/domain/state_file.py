"""Reading state files of other programs: one trader (version 1) or several (version 2) (DAT-1).

The formats are in docs/state-files.md. Names that other programs use for the same thing are known; whatever
is not understood is told with its place in the file. Money is never guessed: what would take a guess is
*fatal*, and nothing of the file can be taken over then.

Signs: quantity and cost are positive for long and negative for short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from core.decimals import EXACT, MONEY_STEP, ZERO, plain
from core.errors import InputError
from engine.domain.state_json import state_json
from engine.domain.state_positions import POSITIONS, Placed, positions_merge, positions_read
from engine.domain.state_types import CENT, StateFile, Told, first_amount, place_at, unknown_note

_CASH: Final = ("cash", "balance", "cash_balance", "virtual_balance")
_TRADERS: Final = ("traders", "accounts", "models")
_EQUITY: Final = ("equity", "total_value", "total_equity", "account_value")
_HISTORY: Final = ("trades", "trade_history", "closed_trades", "equity_history", "balance_history", "fills")
_ABOUT: Final = ("version", "world", "policy", "currency", "as_of", "name")


def state_read(*, text: str) -> StateFile:
    """Read a state file.

    :raises InputError: it is no JSON object, too large or too deep, has a name twice, or NaN in it
    """
    document = state_json(text=text)
    told = Told()
    version = _version(document, told)
    holders = _holders(document, version, told)
    cash = sum((_cash(part, place, told) for place, part, _name in holders), ZERO)
    if cash < 0:
        told.fatal("cash", f"It is {plain(cash)}; cash below zero cannot be taken over.")
    found = [p for place, part, name in holders for p in positions_read(part, place, name, told)]
    positions = positions_merge(found, told)
    policy = _policy(document, positions, found, told)
    unknown_note(document, "", (*_CASH, *POSITIONS, *_TRADERS, *_EQUITY, *_HISTORY, *_ABOUT), told)
    currency = str(document.get("currency", "USD"))
    if currency.upper() not in {"USD", "USDT", "USDC"}:
        told.fatal(
            "currency", f"Amounts are in {currency}; only US dollars (USD, USDT, USDC) are taken over."
        )
    equity = first_amount(document, _EQUITY, "", told)
    state = StateFile(
        version=version,
        policy=policy,
        world=str(document.get("world", "")),
        cash=cash,
        positions=tuple(p.position for p in positions),
        equity=equity,
        traders=tuple(dict.fromkeys(name for _place, _part, name in holders if name)) or _names(document),
        history={name: len(document[name]) for name in _HISTORY if isinstance(document.get(name), list)},
        findings=(),
    )
    _totals(state, told)
    return replace(state, findings=tuple(told.findings))


def _version(document: Mapping[str, Any], told: Told) -> int:
    stated = document.get("version")
    if stated is None:
        guess = 2 if any(name in document for name in _TRADERS) else 1
        told.note("version", f"None is stated; read as version {guess}.")
        return guess
    text = str(stated).removesuffix(".0")
    if text in {"1", "2"}:
        return int(text)
    raise InputError(f"It is of version {stated}; versions 1 and 2 can be read.", field="file")


def _holders(
    document: Mapping[str, Any], version: int, told: Told
) -> list[tuple[str, Mapping[str, Any], str]]:
    """Return the parts that have cash and positions: the document itself, or each trader that has its own."""
    traders = next((document[name] for name in _TRADERS if name in document), None)
    if version == 1 or traders is None or any(name in document for name in (*_CASH, *POSITIONS)):
        return [("", document, "")]
    pairs = (
        list(traders.items())
        if isinstance(traders, dict)
        else [(str(t.get("name", n)), t) for n, t in enumerate(traders) if isinstance(t, dict)]
        if isinstance(traders, list)
        else []
    )
    parts: list[tuple[str, Mapping[str, Any], str]] = [
        (f"traders.{name}", part, str(name)) for name, part in pairs if isinstance(part, dict)
    ]
    if not parts:
        told.fatal("traders", "None of them has cash and positions.")
    for place, part, _name in parts:
        unknown_note(part, place, (*_CASH, *POSITIONS, *_EQUITY, *_HISTORY, "name", "kind", "key"), told)
    return parts


def _names(document: Mapping[str, Any]) -> tuple[str, ...]:
    traders = next((document[name] for name in _TRADERS if name in document), ())
    if isinstance(traders, list):
        return tuple(str(t["name"]) for t in traders if isinstance(t, dict) and "name" in t)
    return tuple(traders) if isinstance(traders, dict) else ()


def _cash(part: Mapping[str, Any], place: str, told: Told) -> Decimal:
    found = first_amount(part, _CASH, place, told)
    if found is None:
        told.fatal(place_at(place, "cash"), "There is none. Say how much cash there is.")
        return ZERO
    if found != found.quantize(MONEY_STEP, context=EXACT):
        rounded = found.quantize(MONEY_STEP, context=EXACT)
        told.note(
            place_at(place, "cash"), f"{plain(found)} has more than 8 places; {plain(rounded)} is taken."
        )
        return rounded
    return found


def _policy(document: Mapping[str, Any], positions: list[Placed], found: list[Placed], told: Told) -> str:
    """Return spot or perp: as stated, else perp where something is short or has leverage."""
    stated = document.get("policy")
    short = any(placed.position.quantity < 0 for placed in positions)
    if stated is not None:
        if stated not in {"spot", "perp"}:
            told.fatal("policy", f"“{str(stated)[:40]}” is neither spot nor perp.")
        elif stated == "spot" and short:
            told.fatal("policy", "It is spot, and a position is short.")
        return "perp" if stated == "perp" else "spot"
    levered = any(placed.leverage is not None and placed.leverage > 1 for placed in found)
    guess = "perp" if short or levered else "spot"
    meaning = "cash includes margin" if guess == "perp" else "what holdings cost is not in the cash any more"
    if positions:
        told.note("policy", f"None is stated; read as {guess}: {meaning}.")
    return guess


def _totals(state: StateFile, told: Told) -> None:
    """Hold the stated equity against cash and positions at the file's own marks."""
    if state.equity is None:
        return
    missing = [position.code for position in state.positions if position.mark is None]
    if missing:
        told.note("equity", f"It cannot be checked: {', '.join(missing[:5])} without a mark in the file.")
        return
    worth = sum((p.quantity * (p.mark or ZERO) for p in state.positions), ZERO)
    if state.policy == "perp":
        worth -= sum((position.cost for position in state.positions), ZERO)
    found = state.cash + worth
    if abs(found - state.equity) > CENT * max(1, len(state.positions)):
        told.fatal("equity", f"It says {plain(state.equity)}; cash and positions make {plain(found)}.")
