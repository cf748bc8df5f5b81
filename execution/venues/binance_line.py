"""How Binance is spoken to, spot and USD-M alike: signed requests, and what its codes mean.

Sources: Binance API documentation, "Request security", "Error codes" (spot and USD-M futures), "HTTP return
codes": 4XX is a refusal, 429 and 418 ask for a pause, and after 5XX the execution status is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from core.errors import BadAnswer, RetryLater, UnknownOutcome
from execution.venues.live_line import OFFSETS, Heard, Line, NotSent, Silent
from execution.venues.live_read import at_ms, ms_of
from execution.venues.live_types import READ_WINDOW_MS, DuplicateId, VenueRefusal
from markets.exchanges import AccessRefused

LONGEST_WINDOW_MS: Final = 60_000
PAUSE_S: Final = 60.0  # where it asks for a pause and names none

UNKNOWN_ORDER: Final = -2013
CANCEL_REFUSED: Final = -2011
ARCHIVED: Final = -2026  # ended without a fill more than 90 days ago
TIMESTAMP: Final = -1021
# After these nobody knows whether it was carried out.
OUTCOME_UNKNOWN: Final = frozenset({-1000, -1001, -1006, -1007})
# Nothing happened, and the same may succeed later: overloaded, too many requests, too many orders, our clock.
TRY_LATER: Final = frozenset({-1003, -1008, -1015, -1016, TIMESTAMP})
NO_ACCESS: Final = frozenset({-1002, -1022, -2014, -2015})
DUPLICATE_ID: Final = -4116
_DUPLICATE_WORDS: Final = "Duplicate order sent"  # the spot market says it with -2010


class NoSuchOrder(BadAnswer):
    """Binance says that it has no order of that id."""


def binance_read(line: Line, method: str, **params: Any) -> Any:
    """Ask a signed question; return the decoded answer.

    :raises NoSuchOrder: the question was for an order, and there is none
    :raises RetryLater: no usable answer
    """
    try:
        heard = line.ask(method, _stamped(line, params, window_ms=READ_WINDOW_MS))
    except (NotSent, Silent) as error:
        raise RetryLater(str(error)) from error
    _pause_raise(line, heard)
    code, said = _told(heard)
    if code in {UNKNOWN_ORDER, CANCEL_REFUSED}:
        raise NoSuchOrder(said)
    if code in NO_ACCESS:
        raise AccessRefused(said)
    if code == TIMESTAMP:
        OFFSETS.forget(line)
    if code is not None:
        raise RetryLater(said)
    if heard.status != 200 or not isinstance(heard.body, dict | list):
        raise BadAnswer(f"Binance answered {heard.status} with nothing usable")
    return heard.body


def binance_write(line: Line, method: str, *, valid_until: datetime | None = None, **params: Any) -> Any:
    """Send something that changes the account; return the decoded answer.

    :param valid_until: Binance drops it when it arrives later
    :raises VenueRefusal: Binance said no
    :raises DuplicateId: it has an order of this client id
    :raises NoSuchOrder: there is nothing to cancel
    :raises RetryLater: nothing happened
    :raises UnknownOutcome: it may have been carried out
    """
    try:
        heard = line.ask(method, _stamped(line, params, window_ms=_window_ms(line, valid_until)))
    except NotSent as error:
        raise RetryLater(str(error)) from error
    except Silent as error:
        raise UnknownOutcome(str(error)) from error
    _pause_raise(line, heard)
    code, said = _told(heard)
    if heard.status >= 500 or code in OUTCOME_UNKNOWN:
        raise UnknownOutcome(said or f"Binance answered {heard.status}")
    if code is not None:
        _refusal_raise(line, code, said)
    if heard.status != 200 or not isinstance(heard.body, dict) or not heard.body:
        raise UnknownOutcome(f"Binance answered {heard.status} with nothing usable")
    return heard.body


def order_id(answer: Mapping[str, Any], name: str) -> str:
    """Return the id that Binance gave something it took.

    :raises UnknownOutcome: it gave none, so whether it took it is not known
    """
    if answer.get(name) is None:
        raise UnknownOutcome(f"Binance answered without {name}")
    return str(answer[name])


def binance_offset(line: Line) -> timedelta:
    """Return Binance's time less ours, from the middle of a round trip.

    :raises RetryLater: no usable answer
    """
    method = "publicGetTime" if line.keys.policy == "spot" else "fapiPublicGetTime"
    asked_at = line.clock.now()
    try:
        heard = line.ask(method, {})
    except (NotSent, Silent) as error:
        raise RetryLater(str(error)) from error
    _pause_raise(line, heard)
    if heard.status != 200 or not isinstance(heard.body, dict) or "serverTime" not in heard.body:
        raise BadAnswer(f"Binance answered {heard.status} when asked for its time")
    middle = asked_at + (line.clock.now() - asked_at) / 2
    return at_ms(heard.body["serverTime"]) - middle


def _stamped(line: Line, params: Mapping[str, Any], *, window_ms: int) -> dict[str, Any]:
    now = line.clock.now() + OFFSETS.offset(line, measure=binance_offset)
    return {**params, "recvWindow": window_ms, "timestamp": ms_of(now)}


def _window_ms(line: Line, valid_until: datetime | None) -> int:
    if valid_until is None:
        return READ_WINDOW_MS
    left_ms = int((valid_until - line.clock.now()).total_seconds() * 1000)
    return max(1, min(LONGEST_WINDOW_MS, left_ms))


def _pause_raise(line: Line, heard: Heard) -> None:
    if heard.status not in {429, 418}:
        return
    named = {name.lower(): value for name, value in heard.headers.items()}.get("retry-after", "")
    pause_s = float(named) if named.isdigit() else PAUSE_S
    raise line.pause(for_s=pause_s)


def _told(heard: Heard) -> tuple[int | None, str]:
    """Return the code and the words of an error of Binance; no code where it is none."""
    body = heard.body
    if not isinstance(body, dict) or not isinstance(body.get("code"), int) or body["code"] >= 0:
        return None, ""
    return body["code"], f"Binance: {' '.join(str(body.get('msg', '')).split())[:160]} ({body['code']})"


def _refusal_raise(line: Line, code: int, said: str) -> None:
    if code == TIMESTAMP:
        OFFSETS.forget(line)
    if code in TRY_LATER:
        raise RetryLater(said)
    if code == DUPLICATE_ID or _DUPLICATE_WORDS in said:
        raise DuplicateId(said)
    if code in {UNKNOWN_ORDER, CANCEL_REFUSED}:
        raise NoSuchOrder(said)
    raise VenueRefusal(said)
