"""The line to one account at a real venue: its client, what was heard over it, and what that means.

A client of ccxt signs and sends; what comes back is read here, as text, so that no number passes through a
float and nothing depends on how ccxt names an error. Three things can come of a request:

- an answer: status, headers and body as the venue sent them (:class:`Heard`)
- ``NotSent``: no connection was made, so nothing happened
- ``Silent``: it may have arrived, and nothing usable came back: a time-out, a cut, half a body
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import EnsembleError, RateLimited, RetryLater
from execution.accounts import LiveKeys
from execution.venues.live_budget import pause_note, request_pay, used_note
from markets.domain.allowance import BudgetPriority
from markets.exchanges import error_text, exchange_make

log = logging.getLogger(__name__)

IDLE_CLIENTS: Final = 32  # kept open per process, over all accounts
OFFSET_LIFETIME: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a venue sent back.

    :param body: decoded JSON with Decimals for numbers; None where it is no JSON
    """

    status: int
    headers: Mapping[str, str]
    body: Any


class NotSent(EnsembleError):
    """No connection could be made: the venue has not heard of it."""


class Silent(EnsembleError):
    """It may have arrived; nothing came back that could be read."""


@dataclass(slots=True)
class _Pooled:
    version: str
    clients: list[Any]


class ClientPool:
    """Clients of ccxt that are not in use, by account; a client serves one caller at a time.

    Bounded: beyond ``IDLE_CLIENTS`` the longest unused is closed. A client made with a key that was exchanged
    meanwhile is closed when its turn comes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[tuple[Any, ...], _Pooled] = OrderedDict()
        self._process = os.getpid()

    @contextmanager
    def client(self, keys: LiveKeys) -> Iterator[Any]:
        """Lend a client for these keys."""
        client = self._take(keys)
        try:
            yield client
        finally:
            self._give(keys, client)

    def close(self) -> None:
        """Close every client that is not in use."""
        with self._lock:
            idle, self._idle = self._idle, OrderedDict()
        for pooled in idle.values():
            _close(pooled.clients)

    def idle_count(self) -> int:
        """Return how many clients wait."""
        with self._lock:
            return sum(len(pooled.clients) for pooled in self._idle.values())

    def _take(self, keys: LiveKeys) -> Any:
        outdated: list[Any] = []
        with self._lock:
            if self._process != os.getpid():  # a fork shares the parent's connections: never use them
                self._idle, self._process = OrderedDict(), os.getpid()
            pooled = self._idle.get(_name(keys))
            if pooled is not None and pooled.version != keys.version:
                outdated = self._idle.pop(_name(keys)).clients
                pooled = None
            found = pooled.clients.pop() if pooled is not None and pooled.clients else None
        _close(outdated)
        return found or exchange_make(venue=keys.venue, sandbox=keys.sandbox, keys=keys.keys)

    def _give(self, keys: LiveKeys, client: Any) -> None:
        surplus: list[Any] = []
        with self._lock:
            pooled = self._idle.setdefault(_name(keys), _Pooled(version=keys.version, clients=[]))
            if pooled.version != keys.version:
                surplus.append(client)
            else:
                pooled.clients.append(client)
                self._idle.move_to_end(_name(keys))
            while sum(len(each.clients) for each in self._idle.values()) > IDLE_CLIENTS:
                oldest = next(iter(self._idle))
                surplus += self._idle.pop(oldest).clients
        _close(surplus)


POOL: Final = ClientPool()


def _name(keys: LiveKeys) -> tuple[Any, ...]:
    return keys.venue, keys.sandbox, keys.credential_id


def _close(clients: list[Any]) -> None:
    for client in clients:
        client.session.close()


class Line:
    """One account's line, for the length of one call of a venue."""

    def __init__(
        self,
        *,
        keys: LiveKeys,
        client: Any,
        clock: Clock = SYSTEM_CLOCK,
        priority: BudgetPriority = BudgetPriority.ORDER,
        asker: str = "",
    ) -> None:
        """Stand on a client that nobody else uses meanwhile.

        :param priority: of its requests in the venue's budget
        :param asker: on whose behalf they are made
        """
        self.keys = keys
        self.client = client
        self.clock = clock
        self._priority = priority
        self._asker = asker

    def ask(self, method: str, params: Mapping[str, Any]) -> Heard:
        """Send one request by ccxt's name for it and return what was heard, an error of the venue too.

        :raises NotSent: nothing happened
        :raises Silent: it may have happened
        :raises RetryLater: there is no room for it in the venue's budget; nothing happened
        """
        request_pay(self.keys, method, params, priority=self._priority, asker=self._asker)
        heard: list[Heard] = []

        def hear(status: int, reason: str, url: str, verb: str, headers: Any, text: str, *_: Any) -> str:
            heard.append(Heard(status=status, headers=dict(headers), body=_decoded(text)))
            return text.strip()

        self.client.on_rest_response = hear
        try:
            getattr(self.client, method)(dict(params))
        except Exception as error:
            if not heard:
                raise _line_error(error, venue=self.keys.venue) from error
        if not heard:
            raise Silent(f"{self.keys.venue}: no answer")
        self._count_note(heard[-1])
        return heard[-1]

    def pause(self, *, for_s: float) -> RateLimited:
        """Let nobody ask this venue for so many seconds; return the error that says so.

        :param for_s: 0 where the venue named no time
        """
        try:
            pause_note(self.keys, for_s=for_s)
        except RetryLater as error:
            log.warning("%s asks for a pause, and others cannot be told: %s", self.keys.venue, error)
        said = f" of {for_s:.0f} s" if for_s else ""
        return RateLimited(f"{self.keys.venue} asks for a pause{said}", retry_after_s=for_s or None)

    def _count_note(self, heard: Heard) -> None:
        """Pass on what the venue has counted. What it answered is worth more than the count."""
        try:
            used_note(self.keys, heard.headers)
        except RetryLater as error:
            log.warning("what %s has counted cannot be kept: %s", self.keys.venue, error)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except ValueError:
        return None


def _no_number(text: str) -> None:
    msg = f"{text} is no number to go by"
    raise ValueError(msg)


def _line_error(error: Exception, *, venue: str) -> EnsembleError:
    """Return whether a request that was never answered can have arrived."""
    from ccxt.base.errors import BaseError
    from requests.exceptions import ConnectionError as RequestConnectionError
    from requests.exceptions import ConnectTimeout
    from urllib3.exceptions import NewConnectionError

    said = f"{venue}: {error_text(error)}"
    cause = error.__cause__
    if isinstance(cause, ConnectTimeout):
        return NotSent(f"{said}; no connection")
    if isinstance(cause, RequestConnectionError):
        reason = getattr(cause.args[0], "reason", None) if cause.args else None
        if isinstance(reason, NewConnectionError):
            return NotSent(f"{said}; no connection")
    if isinstance(error, BaseError) and cause is None:
        return NotSent(said)  # ccxt itself refused to send it
    return Silent(said)


class ClockOffsets:
    """How far each venue's clock is ahead of ours, measured now and then; never trusted for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, bool, str], tuple[timedelta, datetime]] = {}

    def offset(self, line: Line, *, measure: Callable[[Line], timedelta]) -> timedelta:
        """Return the venue's time less ours, measured within the last five minutes."""
        name, now = self._name(line), line.clock.now()
        with self._lock:
            known = self._known.get(name)
        if known is not None and abs(now - known[1]) < OFFSET_LIFETIME:
            return known[0]
        offset = measure(line)
        with self._lock:
            self._known[name] = offset, now
        return offset

    def forget(self, line: Line) -> None:
        """Measure anew next time."""
        with self._lock:
            self._known.pop(self._name(line), None)

    def clear(self) -> None:
        """Measure every clock anew."""
        with self._lock:
            self._known.clear()

    def _name(self, line: Line) -> tuple[str, bool, str]:
        return line.keys.venue, line.keys.sandbox, line.keys.policy


OFFSETS: Final = ClockOffsets()
