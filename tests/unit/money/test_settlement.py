"""What fills do to money: a spot life and a perpetual life, every amount written out."""

from __future__ import annotations

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from positions.domain.booking import Book, Booked, fill_apply, notional_of
from positions.domain.settlement import Settlement, perp_settle, spot_settle

MONEY = st.decimals(min_value="0", max_value="100000", places=8)


def test_spot_purchase_better_than_its_limit() -> None:
    """10.10 was committed for 1 at 10.00 with fee 0.07; it filled at 9.90: 0.1307 stay behind the order."""
    after = fill_apply(book=Book(), quantity=D(1), notional=D("9.90"))
    assert spot_settle(
        order_committed=D("10.10"), before=Book(), after=after, notional=D("9.90"), fee=D("0.0693")
    ) == Settlement(
        order_committed=D("0.1307"),
        margin=D(0),
        free=D("0.0000"),
        committed=D("-9.9693"),
        deployed=D("9.90"),
        cash=(("purchase", D("-9.90")), ("fee", D("-0.0693"))),
    )


def test_spot_sale_with_a_gain() -> None:
    """Half of 2 held at 20 sold for 12: 12 less the fee is free, 10 are no longer deployed, 2 realized."""
    before = Book(D(2), D(20))
    after = fill_apply(book=before, quantity=D(-1), notional=D(-12))
    assert after.realized == 2
    assert spot_settle(
        order_committed=D(0), before=before, after=after, notional=D(-12), fee=D("0.084")
    ) == Settlement(
        order_committed=D(0),
        margin=D(0),
        free=D("11.916"),
        committed=D(0),
        deployed=D(-10),
        cash=(("sale", D(12)), ("fee", D("-0.084"))),
    )


def test_perp_opens_reduces_and_closes() -> None:
    """Short 2 at 100 with leverage 2: margin 100. One bought back at 90: 10 gained, half the margin freed."""
    opened = fill_apply(book=Book(), quantity=D(-2), notional=D(-200))
    one = perp_settle(
        order_committed=D("100.09"),
        before=Book(),
        after=opened,
        margin=D(0),
        notional=D(-200),
        fee=D("0.09"),
        margin_rate=D("0.5"),
        free=D(0),
    )
    assert one == Settlement(
        order_committed=D(0),
        margin=D(100),
        free=D(0),
        committed=D("-0.09"),
        deployed=D(0),
        cash=(("realized", D(0)), ("fee", D("-0.09"))),
    )
    reduced = fill_apply(book=opened.book, quantity=D(1), notional=D(90))
    two = perp_settle(
        order_committed=D(0),
        before=opened.book,
        after=reduced,
        margin=D(100),
        notional=D(90),
        fee=D("0.0405"),
        margin_rate=D("0.5"),
        free=D(0),
    )
    assert (two.margin, two.committed, two.free) == (D(50), D(-50), D("59.9595"))
    assert two.cash == (("realized", D(10)), ("fee", D("-0.0405")))
    closed = fill_apply(book=reduced.book, quantity=D(1), notional=D(130))
    three = perp_settle(
        order_committed=D(0),
        before=reduced.book,
        after=closed,
        margin=D(50),
        notional=D(130),
        fee=D("0.0585"),
        margin_rate=D("0.5"),
        free=D(0),
    )
    assert (three.margin, three.committed, three.free) == (D(0), D(-50), D("19.9415"))


def test_margin_never_makes_a_deficit() -> None:
    """A short fills 10 % above its limit: the margin takes what order and free capital have, and no more."""
    after = fill_apply(book=Book(), quantity=D(-1), notional=D(-110))
    settled = perp_settle(
        order_committed=D(100),
        before=Book(),
        after=after,
        margin=D(0),
        notional=D(-110),
        fee=D("0.05"),
        margin_rate=D(1),
        free=D(3),
    )
    assert settled.margin == D("102.95")
    assert settled.free == D(-3)
    assert settled.order_committed == 0


def test_through_zero_frees_the_old_margin_and_sets_the_new() -> None:
    """Long 1 at 100 (margin 100), sold 3 at 120: 20 gained, short 2 with margin 240."""
    before = Book(D(1), D(100))
    after = fill_apply(book=before, quantity=D(-3), notional=D(-360))
    settled = perp_settle(
        order_committed=D(250),
        before=before,
        after=after,
        margin=D(100),
        notional=D(-360),
        fee=D(1),
        margin_rate=D(1),
        free=D(0),
    )
    assert after == Booked(D(-2), D(-240), D(20))
    assert (settled.margin, settled.order_committed, settled.free) == (D(240), D(129), D(0))
    assert settled.committed == D(19)  # 140 more margin, 121 less behind the order: 121 = 140 + 1 − 20


@given(
    st.decimals(min_value="-1000", max_value="1000", places=5),
    st.decimals(min_value="-1000", max_value="1000", places=5).filter(lambda q: q != 0),
    st.decimals(min_value="0.01", max_value="5000", places=4),
    st.decimals(min_value="0.01", max_value="5000", places=4),
    MONEY,
    MONEY,
    st.sampled_from([D(1), D("0.5")]),
)
def test_cash_is_what_the_ledger_says(
    held: D, quantity: D, entry: D, price: D, order_committed: D, free: D, rate: D
) -> None:
    """ALL-5: free + committed change by the ledger entries; nothing behind an order goes below zero."""
    before = Book(held, notional_of(quantity=held, price=entry))
    notional = notional_of(quantity=quantity, price=price)
    after = fill_apply(book=before, quantity=quantity, notional=notional)
    margin = notional_of(quantity=abs(before.cost), price=rate)
    perp = perp_settle(
        order_committed=order_committed,
        before=before,
        after=after,
        margin=margin,
        notional=notional,
        fee=D("0.01"),
        margin_rate=rate,
        free=free,
    )
    spot = spot_settle(
        order_committed=order_committed, before=before, after=after, notional=notional, fee=D("0.01")
    )
    for settled in (perp, spot):
        assert settled.free + settled.committed == sum(amount for _, amount in settled.cash)
        assert settled.order_committed >= 0
    order_used = order_committed - perp.order_committed
    assert perp.committed == perp.margin - margin - order_used
    assert perp.margin >= 0
    if after.realized - D("0.01") + free + order_committed >= 0:
        assert free + perp.free >= 0, "only a loss or a fee may leave a deficit"
