"""Exchanges through ccxt: making a client that does what we ask and nothing else, and reading its errors.

ccxt adds things of its own to what it sends: on Hyperliquid it signs an approval of a builder's fee and sets
a referrer before the first signed request, and attaches a builder to every order, with a fee of 0 where the
fee is switched off; elsewhere it sends broker ids and a ``Referer`` header. All of that is switched off here.
Its own throttle is off as well: the shared budget stands in front of every request once a meter is attached
(``markets.exchange_meter``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import Any, Final

from django.conf import settings

from accounts.sealing import AccountKeys
from core.errors import BadAnswer, InputError, RateLimited, RetryLater
from markets.exchange_meter import answer_heard
from markets.venue_limits import VenueRequest

REQUEST_TIMEOUT_S: Final = 8.0
_ADDRESS: Final = re.compile(r"https?://\S+")
# Venues whose test environment is the "demo" one: ccxt no longer speaks to the testnet of Binance's futures.
_DEMO: Final = frozenset({"binance"})
# ccxt takes Binance's "invalid key, address or permission" for a ban once the key has worked.
_BINANCE_KEY_REFUSED: Final = re.compile(r'"code":\s?-2015\b')
_NO_BROKER: Final[dict[str, Any]] = {"broker": {}, "brokerId": None}
# ccxt writes each request with its headers, passphrases among them, at level DEBUG. To nobody, whatever
# LOG_LEVEL says: this logger stands outside the tree and has no handler.
_SILENT: Final = logging.Logger("exchange requests", level=logging.CRITICAL)  # noqa: LOG001


class AccessRefused(RetryLater):
    """The venue does not accept the key, or not for this. Only a person can mend that."""


def exchange_make(
    *,
    venue: str,
    sandbox: bool = False,
    keys: AccountKeys | None = None,
    asynchronous: bool = False,
    streaming: bool = False,
    **options: Any,
) -> Any:
    """Return a new ccxt client of one venue; ccxt is imported only here.

    With ``EXCHANGE_GATEWAY`` set, every request goes to ``<gateway>/<host of the venue>/<path>`` instead.

    :param venue: as ccxt names it, "binance"
    :param keys: without them only public requests work
    :param asynchronous: the client belongs to the event loop it is first used in, and has to be closed
    :param streaming: it can also listen (ccxt's ``watch`` requests), and is asynchronous; its ``listener``,
        if it is given one, gets each frame of a socket and how ccxt takes it
    :param options: ccxt's own, for this venue
    :raises InputError: ccxt has no such venue, or the venue has no sandbox
    """
    client = _class(venue, "pro" if streaming else "async_support" if asynchronous else "")(
        {
            "enableRateLimit": False,
            "timeout": int(REQUEST_TIMEOUT_S * 1000),
            "options": options,
            **_credentials(venue, keys),
        }
    )
    client.options.update(_NO_BROKER)  # given with the options above they would be merged, not replaced
    if sandbox:
        _sandbox_use(client, venue)
    if settings.EXCHANGE_GATEWAY:
        client.urls["api"] = _rerouted(client.urls["api"], settings.EXCHANGE_GATEWAY)
    return client


def as_written(client: Any) -> Any:
    """Have a client give numbers as the venue wrote them, and tickers with nothing that ccxt works out.

    ccxt makes up a last price from the opening price and the change of a day where a venue tells none.
    """
    client.number = str
    client.safe_ticker = _ticker_bare
    return client


def _ticker_bare(ticker: Mapping[str, Any], market: Mapping[str, Any] | None = None) -> dict[str, Any]:
    bare = {name: ticker.get(name) for name in ("timestamp", "bid", "ask", "last", "quoteVolume", "info")}
    return {"symbol": ticker.get("symbol") or (market or {}).get("symbol"), **bare}


def read_error(error: Exception, *, venue: str) -> RetryLater:
    """Return what an error of ccxt means where a request only reads: nothing happened."""
    from ccxt.base import errors

    said = f"{venue}: {error_text(error)}"
    if _BINANCE_KEY_REFUSED.search(str(error)):
        return AccessRefused(said)
    if isinstance(error, errors.RateLimitExceeded | errors.DDoSProtection):
        return RateLimited(f"{said}; it asks for a pause")
    if isinstance(error, errors.AuthenticationError):  # so are permission denied and account suspended
        return AccessRefused(said)
    if isinstance(error, errors.BadResponse | errors.NullResponse):
        return BadAnswer(said)
    return RetryLater(said)


def error_text(error: Exception) -> str:
    """Return an error of ccxt in a few words, without the addresses it may carry."""
    text = " ".join(_ADDRESS.sub("", str(error)).split())
    return f"{type(error).__name__}: {text[:160]}"


def _sandbox_use(client: Any, venue: str) -> None:
    if venue in _DEMO:
        client.enable_demo_trading(True)
    elif client.urls.get("test"):
        client.set_sandbox_mode(True)
    else:
        raise InputError(f"{client.name} has no test environment that can be used.", field="sandbox")


def exchange_listens(*, venue: str) -> bool:
    """Tell whether ccxt can listen to a venue's tickers over a socket."""
    import ccxt.pro

    return venue in ccxt.pro.exchanges and bool(getattr(ccxt.pro, venue)().has.get("watchTickers"))


def _class(venue: str, kind: str) -> type[Any]:
    import ccxt

    if venue not in ccxt.exchanges:
        raise InputError(f"“{venue}” is no exchange that can be reached from here.", field="venue")
    return _quiet(venue, kind)


@cache
def _quiet(venue: str, kind: str) -> type[Any]:
    """Return ccxt's class of a venue without what it would send by itself.

    :param kind: "" for threads, "async_support" for an event loop, "pro" for one that listens as well
    """
    base = getattr(import_module(f"ccxt.{kind}" if kind else "ccxt"), venue)
    asynchronous = bool(kind)

    def sign(self: Any, *arguments: Any, **named: Any) -> dict[str, Any]:
        request: dict[str, Any] = base.sign(self, *arguments, **named)
        if request.get("headers"):
            request["headers"].pop("Referer", None)
        return request

    def on_rest_response(self: Any, code: int, reason: str, url: str, method: str, *rest: Any) -> Any:
        answer_heard(code, rest[0])
        return base.on_rest_response(self, code, reason, url, method, *rest)

    changed: dict[str, Any] = {
        "sign": sign,
        "on_rest_response": on_rest_response,
        "fetch2": _metered_async(base) if asynchronous else _metered(base),
        "meter": None,
        "logger": _SILENT,
        "verbose": False,
    }
    if kind == "pro":
        changed |= {"listener": None, "client": _listened(base)}
    if venue == "hyperliquid":
        names = ("initialize_client", "handle_builder_fee_approval", "set_ref")
        changed |= dict.fromkeys(names, _nothing_async if asynchronous else _nothing)
    return type(f"Quiet{venue.title()}", (base,), changed)


def _metered(base: type[Any]) -> Callable[..., Any]:
    """Return ccxt's way of sending any request with the client's meter, if it has one, in front."""

    def fetch2(
        self: Any, path: str, api: Any, method: str = "GET", params: Any = None, config: Any = None
    ) -> Any:
        sent = partial(base.fetch2, self, path, api, method, params or {}, config or {})
        if self.meter is None:
            return sent()
        meter, metered = self.meter
        return meter.send(metered, _request(self, path, api, method, params or {}, config or {}), sent)

    return fetch2


def _metered_async(base: type[Any]) -> Callable[..., Any]:
    async def fetch2(
        self: Any, path: str, api: Any, method: str = "GET", params: Any = None, config: Any = None
    ) -> Any:
        sent = partial(base.fetch2, self, path, api, method, params or {}, config or {})
        if self.meter is None:
            return await sent()
        meter, metered = self.meter
        return await meter.send(metered, _request(self, path, api, method, params or {}, config or {}), sent)

    return fetch2


def _listened(base: type[Any]) -> Callable[..., Any]:
    """Return ccxt's way of making a socket, with the client's listener, if it has one, around each frame.

    ccxt reads on only after a frame was taken without an error: one that cannot be read would silence it.
    """

    def client(self: Any, url: str) -> Any:
        socket = base.client(self, url)
        if self.listener is not None and "handle_message" not in vars(socket):
            socket.handle_message = partial(self.listener, socket.handle_message)
        return socket

    return client


def _request(
    client: Any, path: str, api: Any, method: str, params: Mapping[str, Any], config: Mapping[str, Any]
) -> VenueRequest:
    return VenueRequest(
        venue=client.id,
        section=api if isinstance(api, str) else " ".join(api),
        path=path,
        method=method,
        cost=float(client.calculate_rate_limiter_cost(api, method, path, params, config)),
        every_ms=float(client.rateLimit),
        params=params,
    )


def _nothing(_: Any) -> bool:
    return True


async def _nothing_async(_: Any) -> bool:
    return True


def _credentials(venue: str, keys: AccountKeys | None) -> dict[str, str]:
    if keys is None:
        return {}
    if venue == "hyperliquid":
        return {"walletAddress": keys.account or keys.api_key, "privateKey": keys.secret}
    return {"apiKey": keys.api_key, "secret": keys.secret, "password": keys.password}


def _rerouted(urls: Any, gateway: str) -> Any:
    """Return ccxt's tree of addresses with each host moved into the path behind the gateway."""
    if isinstance(urls, dict):
        return {name: _rerouted(url, gateway) for name, url in urls.items()}
    scheme, _, place = urls.rpartition("://")
    return f"{gateway.replace('http', 'ws', 1) if scheme.startswith('ws') else gateway}/{place}"
