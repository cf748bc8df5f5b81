"""Live prices of another venue over its websocket, through ccxt: one connection for all wanted tickers.

ccxt speaks each venue's words. What it leaves open is done here: a client of its own for each connection,
closed with it and renewed every few hours (what ccxt keeps for a socket only grows); a limit for tickers on a
connection and for connections in a minute; numbers that stay text; a frame that cannot be read costs that
frame; a connection that tells nothing is left. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from django.conf import settings

from core.clock import Clock
from markets.domain.moments import us_of
from markets.domain.venue_listing import VenueSection
from markets.domain.venue_quotes import VenueQuote, quote_of
from markets.exchange_meter import BAN_S
from markets.exchanges import as_written, error_text, exchange_make
from markets.hyperliquid_socket import SocketLost, SocketState

log = structlog.get_logger(__name__)
LISTEN_S: Final = 0.25  # between looking around
OPEN_WITHIN_S: Final = 15.0
NO_PRICES_S: Final = 6  # times the silent time: it is open, but tells no prices
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
RENEW_S: Final = 6 * 3600.0  # Binance closes a connection after 24 hours
CHANGE_S: Final = 10.0  # a connection stands this long before more tickers make a new one of it
GARBAGE_MAX: Final = 5  # unreadable frames in a row end a connection
SHORT: Final = 8  # a text frame as short as this may be a venue's "pong"
REFUSED: Final = frozenset({403, 418, 429})  # to a handshake: the venue wants to be left alone
# Where ccxt's own choice of a ticker stream tells no best bid and ask.
WATCH: Final[dict[str, dict[str, Any]]] = {"binance": {"name": "ticker"}}

Deliver = Callable[[Mapping[str, VenueQuote]], None]


class VenueStream:
    """Keeps one connection open while tickers are wanted, and delivers quotes by instrument code."""

    def __init__(self, *, section: VenueSection, clock: Clock, deliver: Deliver) -> None:
        """Listen to one kind of market of a venue, once :meth:`run` runs."""
        self.section = section
        self.state = SocketState()
        self.refused = 0
        self._clock = clock
        self._deliver = deliver
        self._wanted: dict[str, str] = {}
        self._markets: Sequence[Mapping[str, Any]] = ()
        self._told_s: dict[str, float] = {}
        self._failures = 0
        self._pause_wanted_s = 0.0
        self._opened_s: deque[float] = deque()

    def want(self, symbols: Mapping[str, str], markets: Sequence[Mapping[str, Any]]) -> None:
        """Say which markets are wanted: ccxt's name → our instrument, the more important first.

        :param markets: these markets as ccxt reads them
        """
        most = settings.VENUE_SUBSCRIPTIONS_MAX
        self._markets = markets
        self._wanted = dict(list(symbols.items())[:most])

    def fresh(self, *, code: str, within_s: float) -> bool:
        """Tell whether a price of an instrument came over the socket within the last seconds."""
        return self._clock.monotonic_s() - self._told_s.get(code, float("-inf")) <= within_s

    async def run(self) -> None:
        """Connect, listen, and connect again after a pause, until cancelled."""
        while True:
            if not self._wanted:
                await asyncio.sleep(LISTEN_S)
                continue
            self._failures += 1  # until prices come
            try:
                await self._session(dict(self._wanted))
            except SocketLost as error:
                self._lost(error, str(error))
            except Exception as error:  # noqa: BLE001 - whatever a library raises costs this connection alone
                self._lost(error, error_text(error))
            self.state.connected_at = None
            await asyncio.sleep(self.pause_s())

    def pause_s(self) -> float:
        """Return the seconds until the next connection: twice as long after each failure, with jitter.

        Never sooner than a venue asked for, and no more in a minute than ``VENUE_CONNECTS_PER_MINUTE``.
        """
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** max(1, min(self._failures, 10)))
        pause_s = random.uniform(longest / 2, longest)  # noqa: S311 - jitter, no secret
        now_s = self._clock.monotonic_s()
        while self._opened_s and self._opened_s[0] <= now_s - 60:
            self._opened_s.popleft()
        if len(self._opened_s) >= settings.VENUE_CONNECTS_PER_MINUTE:
            pause_s = max(pause_s, self._opened_s[0] + 60 - now_s)
        wanted_s, self._pause_wanted_s = self._pause_wanted_s, 0.0
        return max(pause_s, wanted_s)

    def _lost(self, error: Exception, why: str) -> None:
        self.state.lost += 1
        self.state.why = why[:200]
        self._pause_wanted_s = pause_after(error)
        log.warning("venue_socket_lost", venue=str(self.section), error=why, failures=self._failures)

    async def _session(self, symbols: dict[str, str]) -> None:
        """Hold one connection until it is lost, is old, or more is wanted than it tells.

        :raises SocketLost: it was lost, or tells nothing
        """
        began_s = self._clock.monotonic_s()
        self._opened_s.append(began_s)
        client = self._client(symbols)
        listener = _Listener(stream=self, client=client, symbols=symbols, began_s=began_s)
        client.listener = listener.take
        params = WATCH.get(self.section.venue, {})
        watching = asyncio.ensure_future(client.watch_tickers(list(symbols), params))
        try:
            while self._wanted and not self._over(symbols, began_s):
                await asyncio.wait({watching}, timeout=LISTEN_S)
                if watching.done():
                    watching.result()
                    await asyncio.sleep(LISTEN_S)
                listener.look()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await client.close()

    def _over(self, symbols: Mapping[str, str], began_s: float) -> bool:
        age_s = self._clock.monotonic_s() - began_s
        return age_s > RENEW_S or (age_s > CHANGE_S and not self._wanted.keys() <= symbols.keys())

    def _client(self, symbols: Mapping[str, str]) -> Any:
        client = as_written(exchange_make(venue=self.section.venue, streaming=True))
        client.timeout_on_exit = 0
        client.set_markets([market for market in self._markets if market["symbol"] in symbols])
        silent_ms = settings.LIVE_SILENT_SECONDS * 1000
        client.streaming["keepAlive"] = min(client.streaming.get("keepAlive") or silent_ms, silent_ms)
        return client

    def tell(self, tickers: Mapping[str, Mapping[str, Any]], symbols: Mapping[str, str]) -> bool:
        """Deliver what these tickers quote; return whether it was a price."""
        now = self._clock.now()
        heard_us = us_of(now)
        oldest_us = heard_us - settings.MARK_STALE_SECONDS * 1_000_000
        quotes = {}
        for symbol, ticker in tickers.items():
            if symbol not in symbols:
                continue
            quote = quote_of(ticker, heard_us=heard_us, oldest_us=oldest_us, answered=False)
            if quote is None:
                self.refused += 1
            else:
                quotes[symbols[symbol]] = quote
        if quotes:
            self._deliver(quotes)
            self._failures = 0
            self._told_s |= dict.fromkeys(quotes, self._clock.monotonic_s())
        return bool(quotes)

    def opened(self) -> None:
        """Note that the connection is open."""
        if self.state.connected_at is None:
            self.state.connected_at = self.state.heard_at = self._clock.now()
            log.info("venue_socket_connected", venue=str(self.section))


class _Listener:
    """One connection's life: what it told, what could not be read, and whether it still lives."""

    def __init__(
        self, *, stream: VenueStream, client: Any, symbols: Mapping[str, str], began_s: float
    ) -> None:
        self._stream = stream
        self._client = client
        self._symbols = symbols
        self._began_s = self._priced_s = began_s
        self._seen: dict[str, Any] = {}
        self._garbage = 0

    def take(self, taken: Callable[[Any], None], frame: Any) -> None:
        """Let ccxt take one frame of the socket, and deliver the tickers that it changed."""
        state = self._stream.state
        state.heard_at = self._stream._clock.now()
        try:
            if isinstance(frame.data, str) and len(frame.data) > SHORT and frame.data[0] not in "{[":
                raise ValueError("it is no JSON")  # noqa: TRY301 - counted with what ccxt cannot read
            taken(frame)
        except Exception as error:  # noqa: BLE001 - whatever cannot be read costs this frame alone
            state.garbage += 1
            self._garbage += 1
            start = str(frame.data)[:80]
            log.warning(
                "venue_socket_garbage", venue=str(self._stream.section), error=str(error), start=start
            )
            return
        tickers = self._client.tickers
        changed = {
            symbol: ticker for symbol, ticker in tickers.items() if self._seen.get(symbol) is not ticker
        }
        if changed:
            self._garbage = 0
            self._seen |= changed
            if self._stream.tell(changed, self._symbols):
                self._priced_s = self._stream._clock.monotonic_s()

    def look(self) -> None:
        """Look whether the connection is of use.

        :raises SocketLost: it is closed, silent, garbled, or never opened
        """
        now_s = self._stream._clock.monotonic_s()
        sockets = list(self._client.clients.values())
        if self._garbage >= GARBAGE_MAX:
            raise SocketLost(f"{GARBAGE_MAX} messages in a row cannot be read")
        if any(socket.isConnected and not socket.closed() for socket in sockets):
            self._stream.opened()
        elif self._stream.state.connected_at is not None:
            raise SocketLost("the connection was closed")
        elif now_s - self._began_s > OPEN_WITHIN_S:
            raise SocketLost(f"not open after {OPEN_WITHIN_S:.0f} s")
        if now_s - self._priced_s > NO_PRICES_S * settings.LIVE_SILENT_SECONDS:
            raise SocketLost(f"no prices for {now_s - self._priced_s:.0f} s")


def pause_after(error: Exception) -> float:
    """Return for how many seconds a venue that refused a handshake wants to be left alone; 0: it does not.

    Binance docs, "Limits": 300 connections in 5 minutes for an address; 429 and 418 as for requests.
    """
    cause = error.args[0] if error.args else None
    if getattr(cause, "status", 0) not in REFUSED:
        return 0.0
    told = (getattr(cause, "headers", None) or {}).get("Retry-After", "")
    return max(float(told), FIRST_PAUSE_S) if told.isdigit() else BAN_S
