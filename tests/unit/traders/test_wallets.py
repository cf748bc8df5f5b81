"""FOL-3: what a wallet is worth and paid, from raw answers; worked examples and properties."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.decimals import EXACT, PRICE_STEP
from traders.domain.chains import Chain, Feed, Token
from traders.domain.reads import TraderRead
from traders.domain.wallets import Block, ChainFacts, Quote, Round, coin_quotes, feed_quote, wallet_read

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
FEED = Feed(name="ETH", address="0xfeed", heartbeat_s=3600)
CHAIN = Chain(
    name="local",
    label="Local",
    chain_id=1,
    native=Token(code="ETH", address="", decimals=18, feed="ETH"),
    tokens=(
        Token(code="WBTC", address="0xb", decimals=8),
        Token(code="USDC", address="0xc", decimals=6, stable=True),
    ),
    feeds={"ETH": FEED},
    multicall="",
    confirmations=0,
    still_s=60,
)


def round_at(at_s: int, answer: int = 2000 * 10**8) -> Round:
    return Round(round_id=7, answer=answer, started_at_s=at_s, updated_at_s=at_s, answered_in=7)


def read(
    quantities: dict[str, int | None], *, eth: str = "2000", previous: TraderRead | None = None
) -> TraderRead:
    facts = ChainFacts(
        block=Block(number=5, hash="0x5", at_s=0),
        quotes={"ETH": Quote(Decimal(eth)), "WBTC": Quote(Decimal(60000)), "USDC": Quote(Decimal(1))},
        supplies={},
        faults={},
    )
    balances = {coin.code: quantities.get(coin.code, 0) for coin in CHAIN.coins}
    return wallet_read(
        chain=CHAIN, facts=facts, balances=balances, previous=previous, doubt="", world_at=AT, run=1
    )


@pytest.mark.parametrize(
    ("age_s", "believed"), [(0, True), (4500, True), (4501, False), (-60, True), (-61, False)]
)
def test_a_round_counts_until_its_heartbeat_and_a_grace(age_s: int, believed: bool) -> None:
    """A round may be 3,600 s + 900 s old, and 60 s ahead of the block."""
    quote = feed_quote(feed=FEED, last=round_at(100_000 - age_s), block_at_s=100_000)
    assert (quote.price == 2000) is believed


def test_a_round_answered_in_an_earlier_one_is_not_complete() -> None:
    """``answeredInRound`` behind ``roundId``: the answer is carried over."""
    last = Round(round_id=7, answer=1, started_at_s=9, updated_at_s=9, answered_in=6)
    assert (
        feed_quote(feed=FEED, last=last, block_at_s=9).why == "the round of the feed of ETH is not complete"
    )


def test_without_a_feed_a_coin_costs_what_its_underlying_does() -> None:
    """WBTC by the mark of BTC, a stablecoin 1, and nothing is made up for the rest."""
    quotes = coin_quotes(chain=CHAIN, rounds={"ETH": None}, block_at_s=0, marks={"BTC": Decimal(61000)})
    assert quotes["WBTC"] == Quote(Decimal(61000))
    assert quotes["USDC"] == Quote(Decimal(1))
    assert quotes["ETH"].price is None
    assert quotes["ETH"].why == "the feed of ETH does not answer, and there is no live price of ETH"


def test_entry_is_the_average_of_prices_first_seen() -> None:
    """1 ETH seen at 2,000, another at 3,000: 2,500; selling one changes nothing."""
    first = read({"ETH": 10**18})
    second = read({"ETH": 2 * 10**18}, eth="3000", previous=first)
    third = read({"ETH": 10**18}, eth="4000", previous=second)
    gone = read({}, eth="4000", previous=third)
    again = read({"ETH": 10**18}, eth="4500", previous=gone)
    entries = [one.positions[0].entry_price for one in (first, second, third, again)]
    assert entries == [2000, 2500, 2500, 4500]
    assert gone.positions == ()


def test_units_smaller_than_we_keep_are_cut_off() -> None:
    """18 decimals become 12, downward."""
    (position,) = read({"ETH": 10**18 + 999_999}).positions
    assert position.quantity == 1
    (position,) = read({"ETH": 10**18 + 1_000_000}).positions
    assert position.quantity == Decimal("1.000000000001")


@given(
    first=st.integers(min_value=10**16, max_value=10**24),
    second=st.integers(min_value=10**16, max_value=10**24),
    prices=st.tuples(*[st.decimals("100", "10000", places=8)] * 2),
)
def test_entry_lies_between_the_prices_seen(first: int, second: int, prices: tuple[Decimal, Decimal]) -> None:
    """Whatever the sizes, an average entry lies between its prices, and cost is kept to the step."""
    before = read({"ETH": first}, eth=str(prices[0]))
    after = read({"ETH": second}, eth=str(prices[1]), previous=before)
    (old,), (new,) = before.positions, after.positions
    if new.quantity <= old.quantity:
        assert new.entry_price == old.entry_price
    else:
        assert min(prices) <= new.entry_price <= max(prices)
        paid = old.quantity * prices[0] + (new.quantity - old.quantity) * prices[1]
        off = EXACT.subtract(EXACT.multiply(new.quantity, new.entry_price), paid)
        assert abs(off) <= EXACT.multiply(new.quantity, PRICE_STEP)


@given(st.dictionaries(st.sampled_from(["ETH", "WBTC", "USDC"]), st.none() | st.integers(0, 2**256 - 1)))
def test_no_answer_makes_a_wallet_absurd(quantities: dict[str, int | None]) -> None:
    """Equity is never negative and never beyond 100 billion a coin, and every coin is counted or named."""
    result = read(quantities)
    assert 0 <= result.equity <= 3 * 10**11
    for code, raw in quantities.items():
        if raw is None:
            assert f"{code} is left out: its balance cannot be read." in result.notes
