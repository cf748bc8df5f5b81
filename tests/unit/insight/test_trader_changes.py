"""BEY-3: what a trader changed between two snapshots, none overlooked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.copy_types import FollowState
from engine.domain.trader_changes import (
    Change,
    Seen,
    SeenBook,
    TraderChange,
    changes_between,
    why_left_alone,
)

D = Decimal
AT = datetime(2026, 1, 1, tzinfo=UTC)


def book(number: int, *positions: Seen) -> SeenBook:
    """Return the book of one snapshot, an hour after the one before."""
    at = AT + timedelta(hours=number)
    return SeenBook(snapshot_id=number, world_at=at, received_at=at, positions=positions)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("0", "1", Change.OPENED),
        ("1", "2", Change.ADDED),
        ("-1", "-2", Change.ADDED),
        ("2", "1", Change.REDUCED),
        ("-2", "-1", Change.REDUCED),
        ("1", "0", Change.CLOSED),
        ("1", "-1", Change.FLIPPED),
        ("-1", "3", Change.FLIPPED),
    ],
)
def test_kinds(before: str, after: str, change: Change) -> None:
    """BEY-3: on both sides."""
    (found,) = changes_between(books=[book(1, Seen("BTC", D(before))), book(2, Seen("BTC", D(after)))])
    assert (found.change, found.before, found.after, found.snapshot_id) == (change, D(before), D(after), 2)


def test_nothing_changed() -> None:
    """BEY-3: the same again is no change."""
    assert changes_between(books=[book(1, Seen("BTC", D(1))), book(2, Seen("BTC", D(1)))]) == ()
    assert changes_between(books=[book(1)]) == ()


def test_units_are_the_underlyings() -> None:
    """BEY-3: 2 kBONK are 2,000 BONK; instruments of one underlying are netted."""
    (found,) = changes_between(books=[book(1), book(2, Seen("kBONK", D(2)), Seen("BONK", D(-500)))])
    assert (found.underlying, found.after) == ("BONK", D(1500))


def test_opened_again_and_rearranged() -> None:
    """BEY-3: closed and opened again just as large; the same in all in other instruments."""
    old, new = Seen("BTC", D(1), AT), Seen("BTC", D(1), AT + timedelta(minutes=90))
    (again,) = changes_between(books=[book(1, old), book(2, new)])
    assert again.change is Change.REOPENED
    (moved,) = changes_between(books=[book(1, Seen("BONK", D(1000))), book(2, Seen("kBONK", D(1)))])
    assert (moved.change, moved.before, moved.after) == (Change.REARRANGED, D(1000), D(1000))


_books = st.lists(
    st.dictionaries(st.sampled_from(["BTC", "ETH", "SOL"]), st.integers(-3, 3).map(Decimal), max_size=3),
    min_size=1,
    max_size=6,
)


@given(quantities=_books)
def test_changes_lead_from_the_first_book_to_the_last(quantities: list[dict[str, Decimal]]) -> None:
    """BEY-3: applied one after the other, the changes give every book: none is missing, none is made up."""
    books = [
        book(number, *(Seen(code, quantity) for code, quantity in entry.items()))
        for number, entry in enumerate(quantities, start=1)
    ]
    now = {code: quantity for code, quantity in quantities[0].items() if quantity}
    found = changes_between(books=books)
    for number, entry in enumerate(quantities[1:], start=2):
        for change in (change for change in found if change.snapshot_id == number):
            assert now.pop(change.underlying, D(0)) == change.before
            if change.after:
                now[change.underlying] = change.after
        assert now == {code: quantity for code, quantity in entry.items() if quantity}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"state": FollowState.LOST}, "cannot be read"),
        ({"state": FollowState.LEAVING}, "not copied any more"),
        ({"usable": False}, "no equity"),
        ({"ignored": {"BTC": D(1)}}, "before you followed"),
        ({"newest_id": 9}, "changed it back"),
        ({}, "nothing of it to copy"),
    ],
)
def test_why_nothing_was_left_to_decide(changed: dict[str, object], words: str) -> None:
    """BEY-3: the first reason that holds is told."""
    change = TraderChange(2, "BTC", Change.REDUCED, D(2), D(1), AT, AT)
    given: dict[str, object] = {
        "change": change, "state": FollowState.ACTIVE, "ignored": {}, "newest_id": 2, "usable": True,
    }  # fmt: skip
    assert words in why_left_alone(**(given | changed))  # type: ignore[arg-type]
