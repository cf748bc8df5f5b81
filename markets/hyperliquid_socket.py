"""Hyperliquid's live prices over one websocket: ``allMids`` of the venue and of builders' dexes.

A client of our own rather than ccxt's: that one loads all markets first (8 requests), turns prices into
floats, and takes a socket that says nothing for a working one. Sources: Hyperliquid docs, "Websocket",
"Subscriptions", "Timeouts and heartbeats" (the server closes after 60 s without a message of its own),
"Rate limits" (per address: 1,000 subscriptions, 30 new connections and 2,000 messages a minute).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from django.conf import settings
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from core.clock import Clock
from markets.feed_hooks import Stop, guarded

log = structlog.get_logger(__name__)
OPEN_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 1.0
LISTEN_S: Final = 0.5  # longest wait for a message, between looking around
PONG_WAIT_S: Final = 5.0
NO_PRICES_S: Final = 3  # times the silent time: it answers, but tells no prices
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
MESSAGE_MAX: Final = 4 * 2**20
GARBAGE_MAX: Final = 5  # unreadable messages in a row end a connection
_PING: Final = '{"method":"ping"}'

Deliver = Callable[[Mapping[str, Decimal]], None]


class _Message(msgspec.Struct):
    channel: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Mids(msgspec.Struct):
    mids: dict[str, str]
    dex: str = ""


class SocketLost(Exception):
    """The connection is of no use any more."""


@dataclass(slots=True)
class SocketState:
    """How the socket does, to look at.

    :param connected_at: since when it is connected, None while it is not
    :param heard_at: when its last message came
    :param lost: how often a connection was lost or could not be opened
    :param garbage: messages that could not be read
    """

    connected_at: datetime | None = None
    heard_at: datetime | None = None
    lost: int = 0
    garbage: int = 0
    why: str = ""


class MidsSocket:
    """Keeps one connection open while prices are wanted, and delivers what it hears. Has its own thread."""

    def __init__(self, *, clock: Clock, deliver: Deliver) -> None:
        """Deliver prices by instrument code, as the venue wrote them: numbers, but any number."""
        self.state = SocketState()
        self._clock = clock
        self._deliver = deliver
        self._wanted: frozenset[str] | None = None
        self._mids_s: dict[str, float] = {}
        self._failures = 0
        self._opened_s: deque[float] = deque()

    def want(self, dexes: frozenset[str] | None) -> None:
        """Say which dexes are wanted ("" is the venue's own); None: nobody needs any, the socket closes."""
        self._wanted = dexes

    def fresh(self, *, dex: str, within_s: float) -> bool:
        """Tell whether prices of a dex came over the socket within the last seconds."""
        return self._clock.monotonic_s() - self._mids_s.get(dex, float("-inf")) <= within_s

    def run(self, stop: Stop) -> None:
        """Connect, listen, and connect again after a pause, until stopped."""
        while not stop.is_set():
            if self._wanted is None:
                stop.wait(LISTEN_S)
                continue
            self._failures += 1  # until prices come
            guarded("live_socket_failed", partial(self._try, stop))
            self.state.connected_at = None
            if self._wanted is not None and not stop.is_set():
                stop.wait(self.pause_s())

    def _try(self, stop: Stop) -> None:
        try:
            self._session(stop)
        except (OSError, WebSocketException, SocketLost) as error:
            self.state.lost += 1
            self.state.why = f"{type(error).__name__}: {error}"[:200]
            log.warning("live_socket_lost", error=self.state.why, failures=self._failures)

    def pause_s(self) -> float:
        """Return the seconds until the next connection: twice as long after each failure, with jitter.

        Within a minute no more connections are opened than ``HYPERLIQUID_CONNECTS_PER_MINUTE``.
        """
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** max(1, min(self._failures, 10)))
        pause_s = random.uniform(longest / 2, longest)  # noqa: S311 - jitter, no secret
        now_s = self._clock.monotonic_s()
        while self._opened_s and self._opened_s[0] <= now_s - 60:
            self._opened_s.popleft()
        if len(self._opened_s) < settings.HYPERLIQUID_CONNECTS_PER_MINUTE:
            return pause_s
        return max(pause_s, self._opened_s[0] + 60 - now_s)

    def _session(self, stop: Stop) -> None:
        """Hold one connection until it is lost or nobody wants it any more.

        :raises OSError, WebSocketException, SocketLost: it was lost, or never came to be
        """
        self._opened_s.append(self._clock.monotonic_s())
        with connect(
            socket_url(settings.HYPERLIQUID_URL),
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # the venue has its own ping, which proves more than that a socket is open
            max_size=MESSAGE_MAX,
            proxy=None,
        ) as socket:
            self.state.connected_at = self.state.heard_at = self._clock.now()
            log.info("live_socket_connected")
            listener = _Listener(socket=socket, clock=self._clock)
            while not stop.is_set() and self._wanted is not None:
                listener.subscribe(self._wanted)
                message = listener.next()
                if message is not None:
                    self._take(message, listener)

    def _take(self, message: str | bytes, listener: _Listener) -> None:
        self.state.heard_at = self._clock.now()
        try:
            mids = mids_from(message)
        except msgspec.DecodeError as error:
            self.state.garbage += 1
            listener.garbage += 1
            log.warning("live_socket_garbage", error=str(error), start=str(message[:80]))
            if listener.garbage >= GARBAGE_MAX:
                raise SocketLost(f"{GARBAGE_MAX} messages in a row cannot be read") from error
            return
        listener.garbage = 0
        if mids is None:
            return
        dex, prices = mids
        self._deliver(prices)
        self._mids_s[dex] = listener.priced_s = self._clock.monotonic_s()
        self._failures = 0


class _Listener:
    """One open connection: what is subscribed on it, and how long it has been silent."""

    def __init__(self, *, socket: ClientConnection, clock: Clock) -> None:
        self._socket = socket
        self._clock = clock
        self._subscribed: set[str] = set()
        self._heard_s = self.priced_s = clock.monotonic_s()
        self._pinged_s: float | None = None
        self.garbage = 0

    def subscribe(self, dexes: frozenset[str]) -> None:
        """Subscribe to what is wanted and not yet subscribed, the venue's own first, up to the limit."""
        room = settings.HYPERLIQUID_SUBSCRIPTIONS_MAX - len(self._subscribed)
        for dex in sorted(dexes - self._subscribed)[: max(0, room)]:
            subscription = {"type": "allMids"} | ({"dex": dex} if dex else {})
            request = {"method": "subscribe", "subscription": subscription}
            self._socket.send(msgspec.json.encode(request).decode())
            self._subscribed.add(dex)

    def next(self) -> str | bytes | None:
        """Return the next message, None where none came in a while.

        :raises SocketLost: the connection is silent, or tells no prices
        """
        try:
            message: Any = self._socket.recv(timeout=LISTEN_S)
        except TimeoutError:
            message = None
        now_s = self._clock.monotonic_s()
        silent_s = settings.LIVE_SILENT_SECONDS
        if message is not None:
            self._heard_s, self._pinged_s = now_s, None
        elif self._pinged_s is not None and now_s - self._pinged_s > PONG_WAIT_S:
            raise SocketLost(f"silent for {now_s - self._heard_s:.0f} s, and no answer to a ping")
        elif self._pinged_s is None and now_s - self._heard_s > silent_s:
            self._socket.send(_PING)
            self._pinged_s = now_s
        if now_s - self.priced_s > NO_PRICES_S * silent_s:
            raise SocketLost(f"no prices for {now_s - self.priced_s:.0f} s")
        return message


def socket_url(url: str) -> str:
    """Return the address of the websocket that belongs to an ``info`` endpoint's.

    >>> socket_url("https://api.hyperliquid.xyz")
    'wss://api.hyperliquid.xyz/ws'
    """
    return f"{url.replace('http', 'ws', 1)}/ws"


def mids_from(message: str | bytes) -> tuple[str, dict[str, Decimal]] | None:
    """Return dex and prices of an ``allMids`` message, None for a message that carries none.

    What is no number comes out as NaN, beside the prices that are.

    :raises msgspec.DecodeError: it is not of the venue's form
    """
    decoded = msgspec.json.decode(message, type=_Message)
    if decoded.channel != "allMids":
        if decoded.channel == "error":
            log.warning("live_socket_refused", answer=bytes(decoded.data)[:200].decode(errors="replace"))
        return None
    data = msgspec.json.decode(decoded.data, type=_Mids)
    return data.dex, {code: _number(text) for code, text in data.mids.items()}


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")
