"""Putting questions to a venue about one account, and what its wallets hold added up.

Only questions are asked, by GET or by a documented reading POST. A part that fails makes the whole read
fail: half an account would look like closed positions.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from accounts.domain.keys import text_without
from accounts.sealing import AccountKeys
from core.errors import BadAnswer, RateLimited, RetryLater
from markets.exchanges import AccessRefused, read_error
from traders.domain.accounts import Leg

T = TypeVar("T")
READING_POSTS: Final = frozenset({("kraken", "Balance"), ("kraken", "OpenPositions")})
CONTRACTS_KEPT_S: Final = 86400.0
PAGES_MOST: Final = 20


@dataclass(slots=True)
class Wallets:
    """What the parts of an account hold, added up by coin; see ``traders.domain.accounts.Account``."""

    holdings: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    pnl: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    legs: list[Leg] = field(default_factory=list)


@dataclass(slots=True)
class Contracts:
    """What a venue's contracts are worth each, kept a day for all accounts."""

    read_s: float = float("-inf")
    sizes: dict[str, Decimal] = field(default_factory=dict)


class Asker:
    """Asks one venue on behalf of one account, and says in our words what went wrong."""

    def __init__(self, *, client: Any, keys: AccountKeys, contracts: Contracts) -> None:
        self.contracts = contracts
        self._client, self._keys = client, keys

    def __repr__(self) -> str:
        return f"<questions to {self._client.id}>"

    async def ask(
        self, section: str, path: str, answer: type[T], *, method: str = "GET", **params: object
    ) -> T:
        """Return the answer to one reading request, decoded.

        :param section: of ccxt's tree of the venue, parts separated by a space
        :raises AccessRefused: the venue does not accept the key for this
        :raises BadAnswer: the answer is not what it should be
        :raises RetryLater: no usable answer
        """
        if method != "GET" and (self._client.id, path) not in READING_POSTS:
            msg = f"{method} {path} is no reading request of {self._client.id}"
            raise ValueError(msg)
        from ccxt.base.errors import BaseError

        try:
            raw = await self._client.request(path, section.split(), method, params)
        except BaseError as error:
            raise self._meaning(error) from None
        try:
            return msgspec.convert(raw, type=answer, strict=False)
        except msgspec.ValidationError as error:
            raise BadAnswer(f"{self._client.name}: {path} cannot be read ({error})") from None

    def _meaning(self, error: Exception) -> RetryLater:
        """Return what an error of ccxt means, without anything secret."""
        from ccxt.base import errors

        told, name = read_error(error, venue=self._client.name), self._client.name
        if isinstance(error, errors.InvalidNonce):
            return RetryLater(
                f"{name} does not accept the time of our requests. Set this machine's clock by a time "
                "server; where another program uses the same key, give each its own."
            )
        if isinstance(told, AccessRefused):
            return AccessRefused(
                f"{name} does not let this key read the account. See there that the key still exists, may "
                "read, and is bound to no other address; else enter a new one."
            )
        text = text_without(text=str(told), secrets=(*self._keys.secrets(), self._keys.api_key))
        return type(told)(text, retry_after_s=told.retry_after_s)


async def together(*requests: Coroutine[Any, Any, Any]) -> list[Any]:
    """Wait for all requests; where some failed, raise the one that says most about what to do next."""
    results = await asyncio.gather(*requests, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        told = [one for kind in (RateLimited, AccessRefused) for one in failures if isinstance(one, kind)]
        raise (told or failures)[0]
    return results


class Row(msgspec.Struct, frozen=True, rename="camel"):
    """A row of an answer whose fields are written like this."""


def half_refuse(*, name: str, margin: Decimal, legs: Sequence[Leg]) -> None:
    """Refuse an empty list of positions where the wallet says that some hold margin.

    :raises BadAnswer: it does
    """
    if margin > 0 and not legs:
        raise BadAnswer(f"{name} tells no open position, but {margin} of margin that positions hold")


def decimal_or_none(text: str) -> Decimal | None:
    """Return a number above zero; venues write "" or "0" where there is none."""
    try:
        value = Decimal(text or "0")
    except ArithmeticError:
        raise BadAnswer(f"{text[:40]!r} is no number") from None
    return value if value.is_finite() and value > 0 else None
