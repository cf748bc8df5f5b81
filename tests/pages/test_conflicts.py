"""The conflict pages: the queue, who wants what, and what each rule makes of it (CON-1 to CON-4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio, User
from core.clock import utc_now
from dashboard.bars import bar_of
from dashboard.conflicts import conflict_read
from engine.conflict_story import queue_read
from engine.models import CycleState
from positions.models import ConflictApproval, ConflictRecord, Valuation
from tests.integration.money.desk import Desk, desk_open

D = Decimal


@pytest.fixture
def desk(alice: User) -> Desk:
    """Alice's desk, three traders."""
    opened = desk_open(traders=3)
    CycleState.objects.create(portfolio=opened.portfolio, next_at=opened.now)
    Valuation.objects.create(portfolio=opened.portfolio, equity=D(10000))
    return opened


def holders_of(desk: Desk) -> list[dict[str, Any]]:
    """Two short, the second longer ago; one long. At a mark of 200."""
    return [
        {
            "follow_id": follow.pk,
            "side": "LONG" if D(quantity) > 0 else "SHORT",
            "quantity": quantity,
            "notional": str(D(quantity) * 200),
            "counted": True,
            "opened_at": f"2025-11-0{day}T12:00:00+00:00",
        }
        for follow, quantity, day in zip(desk.follows, ["-3", "-6", "4"], [2, 1, 3], strict=True)
    ]


def record_make(desk: Desk, **fields: Any) -> ConflictRecord:
    """A standing conflict about SOL, settled by combining."""
    given = {
        "portfolio": desk.portfolio,
        "underlying": "SOL",
        "kind": "opposed",
        "rule": "combine",
        "holders": holders_of(desk),
        "before_quantity": D(-9),
        "after_quantity": D(-5),
        "after_notional": D(-1000),
        "mark_price": D(200),
        "fingerprint": "a",
        "world_at": desk.now,
    }
    return ConflictRecord.objects.create(**given | fields)


def approval_make(desk: Desk, **fields: Any) -> ConflictApproval:
    """A conflict about SOL that waits, capped under combine."""
    given = {
        "portfolio": desk.portfolio,
        "underlying": "SOL",
        "kind": "opposed",
        "fingerprint": "b",
        "holders": holders_of(desk),
        "previews": {
            "combine": {
                "before": "-9",
                "after": "-2.5",
                "notional": "-500",
                "capped": "5 % of equity ($500.00)",
            },
            "largest": {"before": "-9", "after": "-6", "notional": "-1200", "capped": ""},
            "first": {"before": "-9", "after": "-6", "notional": "-1200", "capped": ""},
        },
        "lapses_at": utc_now() + timedelta(minutes=15),
    }
    return ConflictApproval.objects.create(**given | fields)


def test_a_bar_grows_both_ways_from_zero() -> None:
    """CON-2: pieces touch, shorts left of zero; percent of the width, one percent free on either side."""
    bar = bar_of(
        parts=[(D(-3), "GK", 4, True), (D(-6), "GE", 1, False), (D(4), "CL", 2, True)],
        before=D(-9),
        after=D(-5),
    )
    assert (bar.zero, bar.before, bar.after) == ("68.85%", "1.00%", "31.15%")
    assert [(piece.x, piece.width) for piece in bar.pieces] == [
        ("46.23%", "22.62%"),
        ("1.00%", "45.23%"),
        ("68.85%", "30.15%"),
    ]
    assert [piece.counted for piece in bar.pieces] == [True, False, True]
    flat = bar_of(parts=[], before=D(0), after=D(0))
    assert (flat.zero, flat.pieces) == ("1.00%", ())


def test_each_rule_is_shown_side_by_side(desk: Desk) -> None:
    """CON-2: combined −5, the largest wish is −6, the oldest too; bare rules where nothing waits."""
    record_make(desk)
    story = conflict_read(portfolio=desk.portfolio, underlying="SOL")
    assert story.title == "SOL: three traders, two directions"
    assert [(card.rule, card.before, card.after) for card in story.cards] == [
        ("combine", 0, -5),
        ("largest", 0, -6),
        ("first", 0, -6),
    ]
    assert [card.chosen for card in story.cards] == [True, False, False]
    assert [follow.pk for follow in story.cards[1].overruled] == [desk.follows[0].pk, desk.follows[2].pk]
    assert not story.limited


def test_a_waiting_conflict_shows_its_previews(
    desk: Desk, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """CON-4: previews count the limits in; one rule can be approved, or all be rejected, until it lapses."""
    record_make(desk)
    approval = approval_make(desk)
    story = conflict_read(portfolio=desk.portfolio, underlying="SOL")
    assert story.limited
    assert (story.cards[0].change, story.cards[0].value) == (D("6.5"), D(1300))
    assert story.cards[0].capped == "5 % of equity ($500.00)"
    first = client_of(alice).get(reverse("dashboard:conflicts", args=[desk.pk]))
    assert first.url == reverse("dashboard:conflict", args=[desk.pk, "SOL"])
    shown = client_of(alice).get(first.url).content.decode()
    assert "Waiting for you" in shown
    assert '<span class="vh">waiting for you: </span>1</span>' in shown
    for words in [
        f'{{"approval_id": {approval.pk}, "rule": "largest"}}',
        f'{{"approval_id": {approval.pk}}}',
        "Buy 6.50 SOL",
        "Limit</dt>",
        "Approval asked for",
    ]:
        assert words in shown


def test_the_queue_shows_each_conflict_once(desk: Desk) -> None:
    """CON-3, CON-4: what waits, what stands, what is over; the most pressing is shown first."""
    record_make(desk)
    assert queue_read(portfolio=desk.portfolio).first == "SOL"
    record_make(desk, underlying="ETH", ended_at=utc_now())
    late, soon = utc_now() + timedelta(minutes=9), utc_now() + timedelta(minutes=2)
    approval_make(desk, lapses_at=late)
    approval_make(desk, underlying="DOGE", lapses_at=soon)
    approval_make(desk, underlying="XRP", status="lapsed")
    queue = queue_read(portfolio=desk.portfolio)
    assert [row.underlying for row in queue.waiting] == ["DOGE", "SOL"]
    assert [row.underlying for row in queue.standing] == []
    assert [row.underlying for row in queue.over] == ["ETH"]
    assert queue.first == "DOGE"


@pytest.mark.parametrize(
    ("status", "words"), [("rejected", "You declined it"), ("lapsed", "Nobody decided in time")]
)
def test_what_was_not_approved_is_not_called_settled(
    desk: Desk, alice: User, client_of: Callable[[Any], Client], status: str, words: str
) -> None:
    """CON-4: the old position stays, and the page says so; with approval switched off the rule counts."""
    record_make(desk)
    approval_make(desk, status=status)
    address = reverse("dashboard:conflict", args=[desk.pk, "SOL"])
    assert "Settled</span>" in client_of(alice).get(address).content.decode()
    Portfolio.objects.filter(pk=desk.pk).update(approves_conflicts=True)
    shown = client_of(alice).get(address).content.decode()
    assert words in shown
    assert "Settled</span>" not in shown
    queue = queue_read(portfolio=Portfolio.objects.get(pk=desk.pk))
    assert ([row.underlying for row in queue.declined], queue.standing) == (["SOL"], ())
    approval_make(desk, status="approved", rule="first")
    assert "Settled</span>" in client_of(alice).get(address).content.decode()


def test_history_tells_what_was_decided(desk: Desk) -> None:
    """CON-3: newest first, who decided and by which rule."""
    record_make(desk, at=desk.now, capped_reason="25 % of equity")
    approval_make(
        desk,
        status="approved",
        rule="first",
        asked_at=desk.later(),
        decided_at=desk.later(),
        decided_by="alice@example.com",
    )
    story = conflict_read(portfolio=desk.portfolio, underlying="SOL")
    assert [(event.text, event.detail) for event in story.history] == [
        ("Approved with first", "alice@example.com"),
        ("Approval asked for", ""),
        ("Combine: short 9.00 to short 5.00", "Limit: 25 % of equity"),
    ]


def test_an_instrument_without_conflicts_is_not_found(
    desk: Desk, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """VIEW-4: an empty queue is a page, an unknown instrument is not."""
    client = client_of(alice)
    empty = client.get(reverse("dashboard:conflicts", args=[desk.pk]))
    assert empty.status_code == 200
    assert "No conflicts" in empty.content.decode()
    assert client.get(reverse("dashboard:conflict", args=[desk.pk, "SOL"])).status_code == 404
