"""BEY-1: what one trader sells another buys inside the portfolio; Σ slices = position always."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from positions.domain.netting import (
    SliceDelta,
    Transfer,
    exit_slices,
    order_share,
    order_slices,
    slices_after,
    slices_cross,
)

D = Decimal


def deltas(**by_name: str) -> list[SliceDelta]:
    """Changes by trader: a=1, b=2, …; ``mine`` is the owner's own."""
    return [SliceDelta(None if n == "mine" else ord(n) - 96, D(q)) for n, q in by_name.items()]


def test_the_crossed_part_changes_hands_and_the_rest_is_ordered() -> None:
    """BEY-1: A buys 5, B sells 3: B gives 3 to A, 2 are bought."""
    transfers, rest = slices_cross(deltas=deltas(a="5", b="-3"))
    assert transfers == (Transfer(from_follow_id=2, to_follow_id=1, quantity=D(3)),)
    assert rest == (SliceDelta(1, D(2)),)


def test_pairs_meet_in_follow_order_and_the_last_takes_the_remainder() -> None:
    """BEY-1: A and C buy 2 and 4, B and D sell 3 each: three pairs, nothing left."""
    transfers, rest = slices_cross(deltas=deltas(a="2", b="-3", c="4", d="-3"))
    assert transfers == (Transfer(2, 1, D(2)), Transfer(2, 3, D(1)), Transfer(4, 3, D(3)))
    assert rest == ()


def test_one_side_alone_crosses_nothing() -> None:
    """BEY-1: all buy."""
    assert slices_cross(deltas=deltas(a="1", b="2", c="0")) == ((), tuple(deltas(a="1", b="2")))


def test_an_order_is_shared_pro_rata_and_sums_exactly() -> None:
    """BEY-1: 10 for needs of 7, 7 and 7: thirds, the last decimal to the first."""
    shares = order_slices(rest=deltas(a="7", b="7", c="7"), quantity=D(10))
    assert [share.quantity for share in shares] == [
        D("3.333333333334"),
        D("3.333333333333"),
        D("3.333333333333"),
    ]
    assert sum(share.quantity for share in shares) == D(10)


def test_a_whole_order_gives_each_exactly_what_it_needs() -> None:
    """BEY-1: no rounding where nothing is to be rounded."""
    needs = tuple(deltas(a="-0.1", mine="-0.000000000003"))
    assert order_slices(rest=needs, quantity=D("-0.100000000003")) == needs


def test_what_shrinks_a_slice_comes_first() -> None:
    """BEY-1: A closes a long of 1, B wants a short of 0.4: of 1 sold all is A's, of 1.2 the rest B's."""
    needs = deltas(a="-1", b="-0.4")
    held = {1: D(1), 2: D(0)}
    assert order_share(rest=needs, held=held, quantity=D(-1)) == (SliceDelta(1, D(-1)),)
    assert order_share(rest=needs, held=held, quantity=D("-1.2")) == tuple(deltas(a="-1", b="-0.2"))
    assert order_share(rest=needs, held=held, quantity=D("-1.4")) == tuple(needs)


def test_a_flip_first_closes_what_each_holds() -> None:
    """BEY-1: A from 2 to -1 and B from 1 to 0.5 sell 3.5 in all; of the first 2.5 A has 2 and B 0.5."""
    shares = order_share(rest=deltas(a="-3", b="-0.5"), held={1: D(2), 2: D(1)}, quantity=D("-2.5"))
    assert shares == tuple(deltas(a="-2", b="-0.5"))


def test_what_rounding_leaves_goes_only_to_who_has_room() -> None:
    """BEY-1: no slice ever gets more than it needs, down to the last decimal."""
    least = "0.000000000001"
    shares = order_slices(rest=deltas(a=least, b=least, c=least), quantity=2 * D(least))
    assert shares == tuple(deltas(a=least, b=least))


@pytest.mark.parametrize("quantity", ["11", "-1"])
def test_an_order_beyond_the_needs_is_refused(quantity: str) -> None:
    """BEY-1: it would belong to nobody."""
    with pytest.raises(ValueError, match="does not fit"):
        order_slices(rest=deltas(a="4", b="6"), quantity=D(quantity))


def test_our_own_exit_shrinks_all_slices_alike() -> None:
    """SPEC, netting: half of 6 and 4, and of the owner's 2."""
    shares = exit_slices(slices={1: D(6), 2: D(4), None: D(2)}, quantity=D(-6))
    assert shares == (SliceDelta(1, D(-3)), SliceDelta(2, D(-2)), SliceDelta(None, D(-1)))


def test_exiting_from_slices_that_net_to_nothing_is_refused() -> None:
    """SPEC, netting: there is nothing at the venue to exit."""
    with pytest.raises(ValueError, match="sum to zero"):
        exit_slices(slices={1: D(1), 2: D(-1)}, quantity=D(1))


_quantities = st.decimals("-1000", "1000", places=12)


@given(st.lists(_quantities, max_size=11))
def test_crossing_keeps_every_sum(changes: list[Decimal]) -> None:
    """BEY-1: Σ crossed = min(Σ buys, Σ sells); what is left has one side; each gets its change."""
    wanted = [SliceDelta(i, q) for i, q in enumerate(changes)]
    transfers, rest = slices_cross(deltas=wanted)
    buys = sum((q for q in changes if q > 0), D(0))
    sells = -sum((q for q in changes if q < 0), D(0))
    assert sum((t.quantity for t in transfers), D(0)) == min(buys, sells)
    assert len({delta.quantity > 0 for delta in rest}) <= 1
    assert len(transfers) <= max(0, len([q for q in changes if q]) - 1)
    after = slices_after(slices={}, transfers=transfers, changes=rest)
    assert {i: q for i, q in after.items() if q} == {i: q for i, q in enumerate(changes) if q}
