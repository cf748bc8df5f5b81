"""How faithful a copied fill is: parts, their sum, and what was not copied (BEY-2)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fidelity import copied_orders, copy_run
from engine.domain.fidelity import FillParts, fill_measure, unsized_bps
from traders.domain.trades import OwnAct, OwnTrade, trades_behind

D = Decimal
START = datetime(2026, 1, 1, tzinfo=UTC)
prices = st.decimals("0.0001", "100000", places=4)
near = st.decimals("0.8", "1.25", places=4)
quantities = st.decimals("0.001", "1000", places=3)
rates = st.decimals("0", "0.01", places=5)


def trade(minute: int, quantity: str, price: str) -> OwnTrade:
    return OwnTrade(START + timedelta(minutes=minute), D(quantity), D(price))


def test_the_worked_example_of_a_purchase() -> None:
    """Bought at 101.5, decided at 101, where the trader had paid 100."""
    parts = fill_measure(
        side_up=True,
        own_price=D(100),
        decision_mark=D(101),
        price=D("101.5"),
        quantity=D(2),
        fee=D("0.203"),
    )
    assert parts == FillParts(delay_bps=D(100), execution_bps=D(50), fee_bps=D("10.15"))
    assert parts.whole_bps == D("160.15")


def test_a_sale_is_worse_where_it_brings_less() -> None:
    """Sold at 98 where the trader got 100; the mark had come back to 99 by then. A rebate makes it better."""
    parts = fill_measure(
        side_up=False, own_price=D(100), decision_mark=D(99), price=D(98), quantity=D(1), fee=D("-0.02")
    )
    assert (parts.delay_bps, parts.execution_bps, parts.fee_bps) == (D(100), D(100), D(-2))


def test_a_price_that_came_our_way_is_negative() -> None:
    """Bought cheaper than the trader did."""
    parts = fill_measure(
        side_up=True, own_price=D(100), decision_mark=D(99), price=D("99.5"), quantity=D(1), fee=D(0)
    )
    assert (parts.delay_bps, parts.execution_bps, parts.whole_bps) == (D(-100), D(50), D(-50))


@given(
    st.booleans(),
    prices,
    near,
    near,
    st.decimals("0.001", "1000", places=3),
    st.decimals("0", "0.01", places=5),
)
def test_the_parts_sum_to_the_whole_within_one_basis_point(
    side_up: bool, own: Decimal, drift: Decimal, slip: Decimal, quantity: Decimal, rate: Decimal
) -> None:
    """The whole is also what each side paid and got, fee included, told without the mark in between."""
    mark = own * drift
    price = mark * slip
    fee = rate * price * quantity
    parts = fill_measure(
        side_up=side_up, own_price=own, decision_mark=mark, price=price, quantity=quantity, fee=fee
    )
    paid = price * quantity + (fee if side_up else -fee)
    theirs = own * quantity
    direct = (paid - theirs if side_up else theirs - paid) / theirs * 10000
    assert abs(parts.whole_bps - direct) <= D("0.0002")
    assert parts.whole_bps == parts.delay_bps + parts.execution_bps + parts.fee_bps


def test_what_was_not_copied_is_told_in_parts_of_the_wish() -> None:
    """Wished 8, sent 6: 2,500 bps; a full close is whole; where nothing was wished nothing is told."""
    assert unsized_bps(wished=D(8), sent=D(6)) == D(2500)
    assert unsized_bps(wished=D(-8), sent=D(-8)) == 0
    assert unsized_bps(wished=D(-4), sent=D("-4.1")) == D(-250)
    assert unsized_bps(wished=D(0), sent=D(1)) is None
    assert unsized_bps(wished=D(1), sent=D(-1)) is None


def test_the_newest_trades_make_up_a_change() -> None:
    """Of +5 the last 3 at 110 and 2 of the 10 at 100; the sale between is passed over."""
    trades = [trade(0, "10", "100"), trade(1, "-4", "150"), trade(2, "3", "110")]
    assert trades_behind(trades=trades, change=D(5)) == OwnAct(
        price=D(106), from_at=START, until_at=START + timedelta(minutes=2)
    )
    assert trades_behind(trades=trades, change=D(-4)) == OwnAct(
        price=D(150), from_at=START + timedelta(minutes=1), until_at=START + timedelta(minutes=1)
    )


def test_trades_that_do_not_cover_a_change_tell_no_price() -> None:
    """Most of it was bought before the record begins."""
    assert trades_behind(trades=[trade(0, "4", "100")], change=D(5)) is None
    assert trades_behind(trades=[], change=D(5)) is None
    rounded = trades_behind(trades=[trade(0, "0.28", "100")], change=D("0.2801"))
    assert rounded is not None
    assert rounded.price == 100


def test_what_a_recorded_copy_trader_achieved() -> None:
    """Held against reality: recorded leader fills beside the follower's own, by this computation."""
    lag, adverse = copy_run()
    assert lag["holds"], lag
    assert adverse["holds"], adverse
    copied = copied_orders()
    assert len(copied) == 103
    assert lag["value"] == 1.01
    assert adverse["value"] == 1.07
    assert all(each.lag_s >= 0 for each in copied)
    assert all(each.parts.fee_bps > 0 for each in copied)
