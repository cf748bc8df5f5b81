"""The position state machine (EXE-7)."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from positions.domain.status import PositionStatus, status_after_fill, status_after_order, status_check

P = PositionStatus


@pytest.mark.parametrize(
    ("status", "before", "after", "flags", "expected"),
    [
        ("opening", 0, 1, "", P.OPENING),
        ("opening", 1, 2, "done", P.ACTIVE),
        ("active", 2, 1, "done", P.PARTIAL_EXIT),
        ("partial_exit", 1, 2, "", P.ACTIVE),
        ("active", 2, 1, "closing", P.CLOSING),
        ("closing", 1, 0, "closing done empty", P.CLOSED),
        ("active", -2, 0, "done", P.ACTIVE),  # nets to zero, slices go on
        ("closing", 1, 0, "closing done", P.ACTIVE),
        ("active", 1, -1, "done", P.ACTIVE),
    ],
)
def test_status_after_fill(status: str, before: int, after: int, flags: str, expected: P) -> None:
    """EXE-7: opening, active, partial exit, closing, closed."""
    got = status_after_fill(
        status=status,
        before=D(before),
        after=D(after),
        empty="empty" in flags,
        order_done="done" in flags,
        closing="closing" in flags,
    )
    assert got == expected
    assert status_check(before=status, after=got) == got


def test_an_order_that_ends_short_leaves_no_position_opening_or_closing() -> None:
    """EXE-7: what is held is held; a close that was not finished is a partial exit."""
    assert status_after_order(status="opening") == P.ACTIVE
    assert status_after_order(status="closing") == P.PARTIAL_EXIT
    assert status_after_order(status="active") == P.ACTIVE


def test_closed_is_the_end() -> None:
    """EXE-7: a later fill opens a new position."""
    with pytest.raises(ValueError, match="closed cannot become active"):
        status_check(before="closed", after="active")
