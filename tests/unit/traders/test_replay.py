"""Recorded traders at any moment: FOL-3 (replay), "Worlds and time"."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from markets.recordings import recording_get, recording_names
from traders.domain.replay import Fill, RecordedTrips, Trip, entry_before, wallet_rebuild
from traders.recordings import recorded_events_between, recorded_trader_get, recorded_traders

DAY = datetime(2025, 10, 18, tzinfo=UTC)


def at(hours: float) -> datetime:
    """Return a moment some hours after DAY."""
    return DAY + timedelta(hours=hours)


def trip(quantity: str, entry: float, exit_: float, price: str, *, fee: str = "1", net: str = "0") -> Trip:
    """Make a round trip in ETH."""
    return Trip(
        "ETH",
        Decimal(quantity),
        at(entry),
        at(exit_),
        Decimal(price),
        Decimal(fee),
        Decimal(net),
        Decimal(100),
    )


def hundred(_: str, __: datetime) -> Decimal:
    """Return 100 as the price of anything."""
    return Decimal(100)


def test_overlapping_trips_are_one_position() -> None:
    """A worked example: 2 @ 90 then 1 @ 96 make 3 @ 92, open since the first; each exit leaves the other."""
    record = RecordedTrips((trip("2", 1, 5, "90", net="15"), trip("1", 2, 3, "96", net="3")), Decimal(1000))
    flat = record.state_at(at(0.5), hundred)
    assert (flat.equity, flat.positions) == (Decimal(1000), ())

    both = record.state_at(at(2), hundred)
    (position,) = both.positions
    assert (position.quantity, position.entry_price) == (Decimal(3), Decimal(92))
    assert (position.opened_at, position.mark_price) == (at(1), Decimal(100))
    assert both.equity == Decimal(1000) + 2 * 10 - 1 + 1 * 4 - 1

    one = record.state_at(at(3), hundred)  # the exit's own moment is flat already
    assert one.positions[0].quantity == Decimal(2)
    assert one.equity == Decimal(1000) + 3 + 2 * 10 - 1
    done = record.state_at(at(5), hundred)
    assert (done.equity, done.positions) == (Decimal(1018), ())
    assert record.events() == (at(1), at(2), at(3), at(5))


def test_opposite_trips_net_and_equity_keeps_both() -> None:
    """A long of 3 and a short of 1 are a long of 2 at the long's entry; P&L counts both."""
    record = RecordedTrips((trip("3", 0, 9, "90", fee="0"), trip("-1", 1, 9, "104", fee="0")), Decimal(500))
    state = record.state_at(at(2), hundred)
    (position,) = state.positions
    assert (position.quantity, position.entry_price) == (Decimal(2), Decimal(90))
    assert state.equity == Decimal(500) + 30 + 4


def fills(*rows: tuple[float, str, str, str, str]) -> list[Fill]:
    """Make ETH fills with a fee of 1: (hour, signed quantity, price, position before, closed P&L)."""
    return [
        Fill("ETH", at(hour), Decimal(quantity), Decimal(price), Decimal(before), Decimal(pnl), Decimal(1))
        for hour, quantity, price, before, pnl in rows
    ]


def test_a_wallet_is_rebuilt_from_its_fills() -> None:
    """A worked example with a flip: 4 held before, half sold, turned short, bought back."""
    record = wallet_rebuild(
        fills=fills((1, "-2", "110", "4", "40"), (2, "-5", "105", "2", "30"), (3, "3", "100", "-3", "15")),
        start_at=at(0),
        price_at=hundred,
    )
    assert record.gaps == ()
    assert record.start_equity == Decimal(400)  # 4 held at 100 is the most it ever held
    start = record.state_at(at(0), hundred)
    assert start.equity == Decimal(400)
    assert [(p.quantity, p.entry_price, p.opened_at) for p in start.positions] == [
        (Decimal(4), Decimal(90), None)
    ]

    halved = record.state_at(at(1), hundred)
    assert halved.positions[0].quantity == Decimal(2)
    assert halved.equity == Decimal(400) + 2 * 10 - 1
    flipped = record.state_at(at(2), hundred)
    (short,) = flipped.positions
    assert (short.quantity, short.entry_price, short.opened_at) == (Decimal(-3), Decimal(105), at(2))
    assert flipped.equity == Decimal(400) + 2 * 10 + 5 * 5 - 2
    closed = record.state_at(at(3), hundred)
    assert (closed.positions, closed.equity) == ((), Decimal(400) + 20 + 25 - 3)


def test_a_gap_is_an_adjustment_that_is_counted() -> None:
    """A fill whose own "before" differs: the position changed to it at that moment and price."""
    record = wallet_rebuild(
        fills=fills((1, "1", "100", "0", "0"), (2, "1", "120", "5", "0")), start_at=at(0), price_at=hundred
    )
    assert record.gaps == (("ETH", at(2)),)
    assert record.state_at(at(2), hundred).positions[0].quantity == Decimal(6)


def test_entry_before_the_recording_follows_from_closed_pnl() -> None:
    """Bought 1 @ 130 on top of 3 @ 90: average 100; selling 2 @ 110 realizes 20, which tells the 90."""
    rows = fills((1, "1", "130", "3", "0"), (2, "-2", "110", "4", "20"))
    assert entry_before(rows) == Decimal(90)
    assert entry_before(rows[:1]) == Decimal(130)  # nothing closed: the first recorded price
    short = fills((1, "2", "80", "-2", "40"))
    assert entry_before(short) == Decimal(100)


@given(st.lists(st.tuples(st.integers(-9, 9).filter(bool), st.integers(1, 200)), min_size=1, max_size=12))
def test_a_wallets_equity_is_conserved(steps: Sequence[tuple[int, int]]) -> None:
    """Equity = start + Σ quantity x (price now - price paid) - fees, whatever the order of fills."""
    rows, quantity = [], Decimal(0)
    for hour, (size, price) in enumerate(steps):
        rows.append(Fill("ETH", at(hour), Decimal(size), Decimal(price), quantity, Decimal(0), Decimal(1)))
        quantity += size
    record = wallet_rebuild(fills=rows, start_at=at(0), price_at=hundred)
    state = record.state_at(at(len(steps)), hundred)
    gained = sum((Decimal(size) * (100 - price) for size, price in steps), Decimal(0))
    assert state.equity == record.start_equity + gained - len(steps)
    assert sum((p.quantity for p in state.positions), Decimal(0)) == quantity
    assert all(p.entry_price > 0 for p in state.positions)


def test_the_recorded_traders_are_all_there() -> None:
    """Observing: four models from 10,000 USD, five wallets, each with a note."""
    traders = recorded_traders()
    assert [trader.name for trader in traders] == [
        "DeepSeek V3.1",
        "Qwen3 Max",
        "Grok 4",
        "Gemini 2.5 Pro",
        "Wallet A10",
        "Wallet A3",
        "Wallet A4",
        "Wallet A6",
        "Wallet A9",
    ]
    assert all("interpolated" in trader.note for trader in traders)
    assert all(len(trader.note) <= 400 for trader in traders)
    assert "before 20 Oct 2025 are missing" in recorded_trader_get(key="gemini-2.5-pro").note
    assert "not recorded" in recorded_trader_get(key="acc9").note
    with pytest.raises(InputError, match="no recorded trader"):
        recorded_trader_get(key="nobody")


@pytest.mark.parametrize(
    ("key", "net"),
    [
        ("deepseek-chat-v3.1", "10049.005192"),
        ("qwen3-max", "7091.05707733"),
        ("grok-4", "-2262.04745"),
        ("gemini-2.5-pro", "-2213.354793"),
    ],
)
def test_models_end_with_what_they_realized(key: str, net: str) -> None:
    """Observing: at the end every model is flat, with 10,000 plus the sum of its recorded net results."""
    trader = recorded_trader_get(key=key)
    end = trader.state_at(recording_get(name=trader.world).end_at)
    assert end.positions == ()
    assert end.equity == (Decimal(10000) + Decimal(net)).quantize(Decimal("1e-8"))


def test_exposure_reaches_about_twenty_times_equity() -> None:
    """Observing: the largest gross exposure of the models, and about 1x for the wallets as assumed."""
    peaks = {}
    for trader in recorded_traders():
        states = [trader.state_at(event) for event in trader.record.events()]
        gross = (
            sum((abs(p.quantity) * p.mark_price for p in state.positions if p.mark_price), Decimal(0))
            / state.equity
            for state in states
        )
        peaks[trader.key] = round(max(gross), 1)
    assert peaks["qwen3-max"] == Decimal("20.4")
    assert all(Decimal("0.9") <= peaks[key] <= Decimal("1.1") for key in peaks if key.startswith("acc"))


def test_no_recorded_quantity_was_bent_by_rounding() -> None:
    """data/README.md: binary floats were rounded; every quantity is a multiple of the instrument step."""
    for name in recording_names():
        specs = {row.spec.code: row.spec for row in recording_get(name=name).instruments}
        for trader in recorded_traders():
            if trader.world != name:
                continue
            for event in trader.record.events():
                for position in trader.state_at(event).positions:
                    assert specs[position.code].quantity(position.quantity) == position.quantity


def test_events_between_name_each_trader_once_and_miss_none() -> None:
    """Worlds and time: cut a recording anywhere; every change lies in exactly one piece."""
    recording = recording_get(name="replay:alpha_arena")
    grok = recorded_trader_get(key="grok-4").record.events()
    first = grok[0]
    assert recorded_events_between(
        world=recording.name, after_at=first - timedelta(seconds=1), until_at=first
    ) == ["grok-4"]
    assert "grok-4" not in recorded_events_between(
        world=recording.name, after_at=first, until_at=first + timedelta(seconds=1)
    )
    assert recorded_events_between(world="live", after_at=recording.start_at, until_at=recording.end_at) == []
    everything = recorded_events_between(
        world=recording.name, after_at=recording.start_at, until_at=recording.end_at
    )
    assert everything == ["deepseek-chat-v3.1", "qwen3-max", "grok-4", "gemini-2.5-pro"]
