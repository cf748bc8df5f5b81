"""What a wallet on a chain is worth and holds, from the raw answers of one block. Pure.

- A price is the chain's own: the last round of its Chainlink feed, when that round is complete, above zero
  and no older than its heartbeat and a grace. Else a stablecoin is worth 1, and any other coin our live mark
  of its underlying. What has no price counts nothing and is named.
- Nothing that a token says is believed beyond reason: a balance that is no number, above the token's whole
  supply, or worth more than 100 billion is left out and named.
- What was held at the last read and cannot be read or priced now stays as it was, and is named: half an
  answer never looks like a sale.
- A wallet does not say what it paid. Each unit's entry price is the price at which it was first seen, so a
  position's is the average of those; it stays while units are sold.

Sources: Chainlink docs, "Using data feeds" (``latestRoundData``, staleness); ERC-20 (EIP-20).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from core.decimals import EXACT, PRICE_STEP, ZERO, plain, to_money, to_price
from core.instruments import underlying_of
from traders.domain.chains import Chain, Feed, Token
from traders.domain.reads import TraderPosition, TraderRead

HOLDING_MAX: Final = Decimal(10) ** 11  # US dollars; what is worth more is a lie
PRICE_MAX: Final = Decimal(10) ** 9  # US dollars; a higher one is a lie
# US dollars. A smaller holding is no position, unless it was one: no price around one limit opens and closes.
DUST: Final = Decimal(1)
DUST_HELD: Final = Decimal("0.5")
HEARTBEAT_GRACE_S: Final = 900  # a round may be late by as much as it takes to be mined under load
AHEAD_S: Final = 60  # clocks of block makers differ
QUANTITY_PLACES: Final = 12


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    :param at_s: its time, in seconds since 1970
    """

    number: int
    hash: str
    at_s: int


@dataclass(frozen=True, slots=True)
class Round:
    """The last round of a price feed, as ``latestRoundData`` gives it."""

    round_id: int
    answer: int
    started_at_s: int
    updated_at_s: int
    answered_in: int


@dataclass(frozen=True, slots=True)
class Quote:
    """A coin's price in US dollars, or why there is none."""

    price: Decimal | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What one block says to every wallet.

    :param quotes: by code
    :param supplies: whole supply in the token's smallest unit, by code
    :param faults: why a token cannot be believed, by code
    """

    block: Block
    quotes: Mapping[str, Quote]
    supplies: Mapping[str, int]
    faults: Mapping[str, str]


def feed_quote(*, feed: Feed, last: Round | None, block_at_s: int) -> Quote:
    """Return what a feed's last round is worth at the time of the block it was read in.

    :param last: None where the feed did not answer as it should
    """
    if last is None:
        return Quote(None, f"the feed of {feed.name} does not answer")
    if last.answer <= 0:
        return Quote(None, f"the feed of {feed.name} says {last.answer}")
    if last.started_at_s == 0 or last.updated_at_s == 0 or last.answered_in < last.round_id:
        return Quote(None, f"the round of the feed of {feed.name} is not complete")
    age_s = block_at_s - last.updated_at_s
    if age_s < -AHEAD_S:
        return Quote(None, f"the feed of {feed.name} is from the future")
    if age_s > feed.heartbeat_s + HEARTBEAT_GRACE_S:
        return Quote(None, f"the feed of {feed.name} is {age_s // 60} min old")
    exact = EXACT.scaleb(Decimal(last.answer), -feed.decimals)
    if not PRICE_STEP <= exact <= PRICE_MAX:
        return Quote(None, f"the feed of {feed.name} says {exact:.3g}")
    return Quote(to_price(exact))


def coin_quotes(
    *, chain: Chain, rounds: Mapping[str, Round | None], block_at_s: int, marks: Mapping[str, Decimal]
) -> dict[str, Quote]:
    """Return a quote for the chain's own coin and each token, by code.

    :param rounds: last rounds by name of the feed
    :param marks: our live marks by code of the instrument, fresh ones only
    """
    return {
        coin.code: _quote(coin, chain=chain, rounds=rounds, block_at_s=block_at_s, marks=marks)
        for coin in chain.coins
    }


def _quote(
    coin: Token,
    *,
    chain: Chain,
    rounds: Mapping[str, Round | None],
    block_at_s: int,
    marks: Mapping[str, Decimal],
) -> Quote:
    said = Quote(None, "it has no feed")
    if coin.feed:
        said = feed_quote(feed=chain.feeds[coin.feed], last=rounds.get(coin.feed), block_at_s=block_at_s)
        if said.price is not None:
            return said
    if coin.stable:
        return Quote(Decimal(1))
    mark = marks.get(coin.code, marks.get(underlying_of(coin.code)[0]))
    if mark is not None:
        return Quote(mark)
    return Quote(None, f"{said.why}, and there is no live price of {underlying_of(coin.code)[0]}")


def wallet_read(
    *,
    chain: Chain,
    facts: ChainFacts,
    balances: Mapping[str, int | None],
    previous: TraderRead | None,
    doubt: str,
    world_at: datetime,
    run: int,
) -> TraderRead:
    """Return a wallet as a trader: equity in US dollars, long positions, and what is not counted.

    :param balances: in the coin's smallest unit by code; None where the answer was no number
    :param previous: the last read that counted, None for a wallet never read before
    """
    wallet = _Wallet(chain=chain, facts=facts, previous=previous)
    for coin in chain.coins:
        wallet.add(coin, balances.get(coin.code))
    block = facts.block
    return TraderRead(
        equity=to_money(wallet.equity),
        positions=tuple(sorted(wallet.positions, key=lambda position: position.code)),
        world_at=world_at,
        run=run,
        notes=tuple(wallet.notes),
        origin={
            "block": block.number,
            "hash": block.hash,
            "cash": {code: [plain(part) for part in parts] for code, parts in wallet.cash.items()},
        },
        doubt=doubt,
    )


class _Wallet:
    """A wallet being added up, coin by coin."""

    def __init__(self, *, chain: Chain, facts: ChainFacts, previous: TraderRead | None) -> None:
        self._chain, self._facts = chain, facts
        self._held = {position.code: position for position in previous.positions} if previous else {}
        self._cash_before: Mapping[str, Any] = previous.origin.get("cash", {}) if previous else {}
        self.equity = ZERO
        self.positions: list[TraderPosition] = []
        self.cash: dict[str, tuple[Decimal, Decimal]] = {}
        self.notes: list[str] = []

    def add(self, coin: Token, raw: int | None) -> None:
        """Count one coin."""
        quantity, why = self._quantity(coin, raw)
        if quantity is None:
            return self._keep(coin, why)
        if quantity == 0:
            return None
        quote = self._facts.quotes[coin.code]
        price = quote.price if quote.price is not None else self._price_before(coin)
        if price is None:
            self.notes.append(f"{plain(quantity)} {coin.code} are not counted: {quote.why}.")
            return None
        value = EXACT.multiply(quantity, price)
        if value > HOLDING_MAX:
            return self._keep(coin, f"it says that the wallet holds {quantity:.3g}")
        if quote.price is None:
            self.notes.append(f"{coin.code} is counted at its last known price: {quote.why}.")
        self._count(coin, quantity, price, value)
        return None

    def _quantity(self, coin: Token, raw: int | None) -> tuple[Decimal | None, str]:
        """Return a quantity cut to 12 places, or None and why it is not believed."""
        fault = self._facts.faults.get(coin.code)
        if fault:
            return None, fault
        if raw is None:
            return None, "its balance cannot be read"
        supply = self._facts.supplies.get(coin.code)
        if supply is not None and raw > supply:
            return None, "it gives the wallet more than there is of it"
        surplus = coin.decimals - QUANTITY_PLACES
        whole = raw // 10**surplus if surplus > 0 else raw * 10**-surplus
        return EXACT.scaleb(Decimal(whole), -QUANTITY_PLACES), ""

    def _price_before(self, coin: Token) -> Decimal | None:
        held = self._held.get(coin.code)
        return held.mark_price if held is not None else None

    def _count(self, coin: Token, quantity: Decimal, price: Decimal, value: Decimal) -> None:
        self.equity = EXACT.add(self.equity, value)
        if coin.stable:
            self.cash[coin.code] = (quantity, price)
            return
        held = self._held.get(coin.code)
        if value < (DUST if held is None else DUST_HELD):
            return
        self.positions.append(
            TraderPosition(
                code=coin.code,
                quantity=quantity,
                entry_price=_entry(held=held, quantity=quantity, price=price),
                mark_price=price,
            )
        )

    def _keep(self, coin: Token, why: str) -> None:
        """Leave a coin out, or as it was where it was held before."""
        held, cash = self._held.get(coin.code), self._cash_before.get(coin.code)
        if held is not None:
            price = held.mark_price if held.mark_price is not None else held.entry_price
            self.equity = EXACT.add(self.equity, EXACT.multiply(held.quantity, price))
            self.positions.append(held)
        elif cash is not None:
            quantity, price = Decimal(cash[0]), Decimal(cash[1])
            self.equity = EXACT.add(self.equity, EXACT.multiply(quantity, price))
            self.cash[coin.code] = (quantity, price)
        else:
            self.notes.append(f"{coin.code} is left out: {why}.")
            return
        self.notes.append(f"{coin.code} stays as it was last read: {why}.")


def _entry(*, held: TraderPosition | None, quantity: Decimal, price: Decimal) -> Decimal:
    """Return the average of the prices at which the units held were first seen, to 12 places."""
    if held is None:
        return price
    if quantity <= held.quantity:
        return held.entry_price
    paid = EXACT.multiply(held.quantity, held.entry_price)
    more = EXACT.multiply(EXACT.subtract(quantity, held.quantity), price)
    return EXACT.divide(EXACT.add(paid, more), quantity).quantize(PRICE_STEP, context=EXACT)
