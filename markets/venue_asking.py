"""What is asked of other venues by request: their lists of markets, and prices that no socket tells.

Belongs to one event loop; every request is paid from the venue's shared budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from core.errors import BadAnswer, EnsembleError, InputError
from markets.budget import asking
from markets.domain.allowance import BudgetPriority
from markets.domain.venue_listing import VenueSection
from markets.exchange_meter import ExchangeMeter
from markets.exchanges import as_written, exchange_make, read_error
from markets.venue_rules import TICK_SIZE, TYPES

ASKER: Final = "feed"
LIST_WAIT_S: Final = 10.0
PRICE_WAIT_S: Final = 4.0
_UNREADABLE: Final = (KeyError, TypeError, AttributeError, IndexError, ValueError)


class VenueAsking:
    """One client for each kind of market of each venue, made when it is first asked."""

    def __init__(self) -> None:
        """Ask nobody yet."""
        self._meter = ExchangeMeter()
        self._clients: dict[VenueSection, Any] = {}

    async def markets(self, section: VenueSection) -> list[Mapping[str, Any]]:
        """Return a venue's markets of one kind as ccxt reads them, numbers as text.

        :raises InputError: the venue tells no steps that could be relied upon
        :raises RetryLater: no usable answer, or no room in the budget
        """
        client = self._client(section)
        if client.precisionMode != TICK_SIZE:
            raise InputError(f"{client.name} tells no steps that could be relied upon.", field="venue")
        with asking(asker=ASKER, priority=BudgetPriority.SYNC, max_wait_s=LIST_WAIT_S):
            markets = await _answer(client.fetch_markets(), section)
        if not isinstance(markets, list):
            raise BadAnswer(f"{section} answered with no list of markets")
        return [market for market in markets if market]

    async def tickers(
        self, section: VenueSection, symbols: Sequence[str], *, markets: Iterable[Mapping[str, Any]]
    ) -> dict[str, Mapping[str, Any]]:
        """Return the tickers of some markets by ccxt's name of them, in one request where the venue can.

        :param markets: these markets, as :meth:`markets` returned them
        :raises RetryLater: no usable answer, or no room in the budget
        """
        client = self._client(section)
        client.set_markets(list(markets))
        # While a socket is silent, stops live on these prices.
        with asking(asker=ASKER, priority=BudgetPriority.EXIT, max_wait_s=PRICE_WAIT_S):
            answer = await _answer(client.fetch_tickers(list(symbols)), section)
        if not isinstance(answer, dict):
            raise BadAnswer(f"{section} answered with no list of prices")
        return {symbol: answer[symbol] for symbol in symbols if isinstance(answer.get(symbol), dict)}

    async def close(self) -> None:
        """Give back connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
        await self._meter.close()

    def _client(self, section: VenueSection) -> Any:
        if section not in self._clients:
            kind = TYPES.get((section.venue, section.policy))
            options: dict[str, Any] = {"fetchMarkets": {"types": [kind]}} if kind else {}
            client = as_written(exchange_make(venue=section.venue, asynchronous=True, **options))
            client.timeout_on_exit = 0
            self._clients[section] = self._meter.attach(client)
        return self._clients[section]


async def _answer(request: Any, section: VenueSection) -> Any:
    """Wait for an answer; what goes wrong comes out as one of our own errors, a fault of ours as it is."""
    from ccxt.base.errors import BaseError

    try:
        return await request
    except EnsembleError:
        raise
    except BaseError as error:
        raise read_error(error, venue=section.venue) from error
    except _UNREADABLE as error:
        raise BadAnswer(f"{section}: its answer cannot be read ({type(error).__name__})") from error
