"""A trader's book: exposure at today's marks, free of the trader's own deposits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from allocation.domain.books import BasisLeg, TraderBook, book_at_marks

D = Decimal
MONDAY = datetime(2025, 10, 20, tzinfo=UTC)
TUESDAY = datetime(2025, 10, 21, tzinfo=UTC)


def test_equity_and_notional_follow_the_marks() -> None:
    """ALL-3: 10,000 with 0.1 BTC bought at 60,000; BTC rises to 66,000."""
    book = book_at_marks(
        equity=D(10000), legs=[BasisLeg("BTC", D("0.1"), mark_price=D(60000))], marks={"BTC": D(66000)}
    )
    assert book.equity == D(10600)
    assert book.legs["BTC"].notional == D(6600)
    assert book.legs["BTC"].quantity == D("0.1")


def test_a_short_gains_when_its_mark_falls() -> None:
    """ALL-3: -2 ETH at 3,000; ETH falls to 2,900."""
    book = book_at_marks(
        equity=D(5000), legs=[BasisLeg("ETH", D(-2), mark_price=D(3000))], marks={"ETH": D(2900)}
    )
    assert book.equity == D(5200)
    assert book.legs["ETH"].notional == D(-5800)


def test_a_code_without_a_mark_keeps_its_own() -> None:
    """ALL-3: nothing is invented where no price is known."""
    book = book_at_marks(equity=D(100), legs=[BasisLeg("XRP", D(10), mark_price=D(2))], marks={})
    assert (book.equity, book.legs["XRP"].notional) == (D(100), D(20))


def test_a_wrapped_coin_without_a_mark_moves_with_its_underlying() -> None:
    """ALL-3: 2 WBTC at 60,000 in a wallet of 200,000; BTC rises to 66,000, and nobody quotes WBTC."""
    legs = [BasisLeg("WBTC", D(2), mark_price=D(60000)), BasisLeg("kBONK", D(3), mark_price=D("0.02"))]
    book = book_at_marks(equity=D(200000), legs=legs, marks={"BTC": D(66000), "BONK": D("0.00003")})
    assert book.legs["BTC"].notional == D(132000)
    assert book.legs["BONK"].notional == D("0.09")
    assert book.equity == D("212000.03")


def test_wrapped_and_native_coins_are_one_underlying() -> None:
    """CON-1: BTC on a venue and WBTC in a wallet; the earliest opening counts, entries are averaged."""
    book = book_at_marks(
        equity=D(100000),
        legs=[
            BasisLeg("BTC", D(1), D(60000), entry_price=D(50000), opened_at=TUESDAY),
            BasisLeg("WBTC", D(3), D(60000), entry_price=D(58000), first_seen_at=MONDAY),
        ],
        marks={"BTC": D(60000), "WBTC": D(60000)},
    )
    leg = book.legs["BTC"]
    assert (leg.quantity, leg.notional, leg.entry_price, leg.opened_at) == (D(4), D(240000), D(56000), MONDAY)


def test_thousands_are_counted_in_single_coins() -> None:
    """CON-1: 5 kBONK at 0.02 are 5,000 BONK at 0.00002, worth 0.10."""
    leg = book_at_marks(
        equity=D(1), legs=[BasisLeg("kBONK", D(5), D("0.02"), entry_price=D("0.01"))], marks={}
    ).legs["BONK"]
    assert (leg.quantity, leg.notional, leg.entry_price) == (D(5000), D("0.10"), D("0.00001"))


def test_a_hedge_nets_and_never_loses_its_sign() -> None:
    """CON-1: long 1 spot at 60,010 against 0.999 short at 60,100: a long of 0.001."""
    leg = book_at_marks(
        equity=D(1000),
        legs=[BasisLeg("WBTC", D(1), D(60010)), BasisLeg("BTC", D("-0.999"), D(60100))],
        marks={},
    ).legs["BTC"]
    assert leg.quantity == D("0.001")
    assert D(60) < leg.notional < D("60.1")


def test_a_perfect_hedge_is_no_leg() -> None:
    """CON-1: equal and opposite cancel."""
    book = book_at_marks(
        equity=D(1000), legs=[BasisLeg("WBTC", D(1), D(60000)), BasisLeg("BTC", D(-1), D(60000))], marks={}
    )
    assert book.legs == {}


def test_a_book_without_equity_is_not_usable() -> None:
    """ALL-3: a ratio to nothing, or to less, means nothing."""
    leg = BasisLeg("BTC", D(1), D(60000))
    assert not book_at_marks(equity=D(0), legs=[leg], marks={}).usable
    assert not book_at_marks(equity=D(1000), legs=[leg], marks={"BTC": D(50000)}).usable
    assert book_at_marks(equity=D(1000), legs=[leg], marks={}).usable


def test_closed_and_opened_again_between_two_reads() -> None:
    """EXE-8: told by an opening later than the last read; an older part that went first is no such thing."""
    noon = MONDAY + timedelta(hours=12)

    def held(quantity: int, opened_at: datetime | None) -> TraderBook:
        leg = BasisLeg("BTC", D(quantity), mark_price=D(60000), opened_at=opened_at)
        return book_at_marks(equity=D(10000), legs=[leg], marks={})

    before = held(10, MONDAY)
    assert held(6, TUESDAY).reopened_since(before=before, read_at=noon) == {"BTC"}
    assert held(6, MONDAY).reopened_since(before=before, read_at=noon) == set()  # reduced
    assert held(6, noon).reopened_since(before=before, read_at=noon) == set()  # the older part went first
    assert held(6, None).reopened_since(before=before, read_at=noon) == set()  # nobody says
    assert held(6, TUESDAY).reopened_since(before=held(0, None), read_at=noon) == set()
    ahead = held(10, TUESDAY)  # the source's clock is ahead of ours
    assert held(6, TUESDAY).reopened_since(before=ahead, read_at=noon) == set()
