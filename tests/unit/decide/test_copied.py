"""What of a trader's position is copied, and what is ignored: joining, pausing, our own exits."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation.domain.books import TraderBook, TraderLeg
from allocation.domain.copied import (
    JoinMode,
    copied_after_exit,
    copied_notional,
    copied_quantity,
    ignored_on_join,
    ignored_on_resume,
    ignored_ratchet,
)

D = Decimal


def leg(quantity: str, *, mark: str = "100", entry: str | None = "100") -> TraderLeg:
    return TraderLeg("BTC", D(quantity), D(quantity) * D(mark), D(entry) if entry else None)


def book_of(one: TraderLeg) -> TraderBook:
    return TraderBook(equity=D(1000), legs={one.underlying: one})


@pytest.mark.parametrize(
    ("ignored", "quantity", "left"),
    [
        ("10", "10", "10"),  # nothing happened
        ("10", "14", "10"),  # added: 4 are copied
        ("10", "6", "6"),  # reduced below: 6 stay ignored
        ("10", "0", "0"),  # closed: whatever comes is new
        ("10", "-3", "0"),  # flipped
        ("-10", "-6", "-6"),
        ("-10", "2", "0"),
        ("0", "5", "0"),
    ],
)
def test_what_is_ignored_only_shrinks(ignored: str, quantity: str, left: str) -> None:
    """SPEC, joining: closed, flipped or reduced, the ignored part is gone for good."""
    assert ignored_ratchet(ignored=D(ignored), quantity=D(quantity)) == D(left)


@given(st.decimals("-100", "100", places=3), st.lists(st.decimals("-100", "100", places=3), min_size=1))
def test_the_copied_part_never_points_against_the_trader(ignored: Decimal, quantities: list[Decimal]) -> None:
    """EXE-8: along any path, 0 <= copied <= the trader's quantity, on its side."""
    for quantity in quantities:
        after = ignored_ratchet(ignored=ignored, quantity=quantity)
        assert abs(after) <= abs(ignored)
        assert (quantity - after) * quantity >= 0
        assert abs(quantity - after) <= abs(quantity)
        ignored = after


def test_the_copied_part_carries_its_share_of_the_notional() -> None:
    """ALL-3: 4 of 10 copied are 40 % of 1,200."""
    assert copied_notional(leg=leg("10", mark="120"), ignored=D(6)) == D(480)
    assert copied_quantity(leg=leg("10"), ignored=D(6)) == D(4)
    assert copied_quantity(leg=None, ignored=D(0)) == 0


@pytest.mark.parametrize(
    ("mark", "entry", "ignored"),
    [
        ("102", "100", {}),  # exactly 2 % is still joined
        ("98", "100", {}),
        ("102.01", "100", {"BTC": D(5)}),
        ("97.9", "100", {"BTC": D(5)}),
        ("100", None, {"BTC": D(5)}),  # unknown entry: not joined
    ],
)
def test_open_positions_are_joined_within_two_percent(
    mark: str, entry: str | None, ignored: dict[str, Decimal]
) -> None:
    """SPEC, joining: also positions whose price is within 2 % of the trader's entry."""
    joined = book_of(leg("5", mark=mark, entry=entry))
    assert ignored_on_join(book=joined, mode=JoinMode.INCLUDE_OPEN) == ignored
    assert ignored_on_join(book=joined, mode=JoinMode.NEW_ONLY) == {"BTC": D(5)}


@pytest.mark.parametrize(
    ("quantity", "ignored", "copied", "after"),
    [
        ("10", "0", "10", {}),  # nothing happened while paused
        ("15", "0", "10", {"BTC": D(5)}),  # 5 were added
        ("6", "0", "10", {}),  # reduced
        ("10", "0", "0", {"BTC": D(10)}),  # opened while paused
        ("-4", "0", "10", {"BTC": D(-4)}),  # flipped while paused
        ("15", "4", "6", {"BTC": D(9)}),  # 4 ignored before, 5 added
        ("9", "4", "6", {"BTC": D(4)}),  # 4 ignored before, 1 reduced
        ("-15", "0", "-10", {"BTC": D(-5)}),
    ],
)
def test_what_came_while_paused_is_ignored(
    quantity: str, ignored: str, copied: str, after: dict[str, Decimal]
) -> None:
    """SPEC, pausing: opened or added meanwhile is not copied after resuming."""
    result = ignored_on_resume(
        book=book_of(leg(quantity)), ignored={"BTC": D(ignored)}, copied={"BTC": D(copied)}
    )
    assert result == after


@pytest.mark.parametrize(
    ("copied", "wish", "remains", "stays"),
    [
        ("1", "1000", "250", "0.25"),  # half of a position that a limit held at 500 was sold
        ("-2", "-1000", "-500", "-1"),  # a short, half of it
        ("1", "1000", "1200", "1"),  # what is left is worth more than the wish: nothing is let go
        ("1", "1000", "0", "0"),  # all of it was sold
        ("1", "0", "250", "0"),  # nothing was wanted
        ("1", "1000", "-250", "0"),  # the slice stands on the other side
        ("3", "1000", "333.333333", "0.999999999000"),
    ],
)
def test_what_stays_copied_after_our_own_exit(copied: str, wish: str, remains: str, stays: str) -> None:
    """EXE-8: as much as makes us want what is left; never more than before."""
    after = copied_after_exit(
        copied=D(copied), wish=D(wish), remains=D(remains), others=D(0), allowed=D(100000)
    )
    assert after == D(stays)


@given(
    wish=st.decimals("10", "5000", places=2),
    others=st.decimals("0", "5000", places=2),
    allowed=st.decimals("100", "6000", places=2),
    keeps=st.decimals("0.01", "0.99", places=2),
)
def test_the_wish_after_an_exit_is_worth_what_is_left(wish: D, others: D, allowed: D, keeps: D) -> None:
    """EXE-8: also where letting go of a part scales the trader's other legs up."""
    scale = min(D(1), allowed / (wish + others))
    remains = wish * scale * keeps
    stays = copied_after_exit(copied=D(1), wish=wish, remains=remains, others=others, allowed=allowed)
    raw = wish * stays
    wanted = raw * min(D(1), allowed / (raw + others))
    assert abs(wanted - remains) <= D("0.000001")
