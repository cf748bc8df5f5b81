"""A dry run through sync, database and cycle: everything is kept and shown, no money moves (CON-4)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from allocation.models import CapitalAccount, FollowLeg, LedgerEntry, Reservation
from engine.models import Decision
from positions.audit import books_audit
from positions.models import ConflictRecord, Position, SliceEntry
from tests.integration.engine.stage import Stage, stage_open
from tests.stateful.worlds import MadeUpWorld

D = Decimal


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    opened = stage_open(play=made_up, owner=alice, traders=2)
    opened.settings(dry_run=True)
    return opened


def test_nothing_is_ordered_reserved_or_booked(stage: Stage) -> None:
    """CON-4: two traders agree on ETH; it is decided once, however often the cycle runs."""
    stage.hold(1, "ETH", "1")
    stage.hold(2, "ETH", "0.5")
    stage.settle()
    stage.settle()
    assert (stage.orders, Reservation.objects.count(), SliceEntry.objects.count()) == (0, 0, 0)
    assert not Position.objects.exists()
    assert LedgerEntry.objects.count() == 1  # the initial deposit
    account = CapitalAccount.objects.get(pk=stage.portfolio.pk)
    assert (account.free, account.reserved, account.committed) == (10000, 0, 0)
    assert not FollowLeg.objects.exclude(trader_quantity=0, target_quantity=0).exists()
    (text,) = stage.decisions("merged")
    assert text.startswith("Dry run: Merged ETH")
    assert Decision.objects.get(kind="merged").reason.startswith("Would have, were it not for the dry run: ")
    assert stage.decisions("conflict") == ["Dry run: ETH overlap resolved by combine"]
    assert ConflictRecord.objects.filter(ended_at__isnull=True).count() == 1
    assert books_audit() == []


def test_the_wishes_of_now_are_acted_on_when_it_ends(stage: Stage) -> None:
    """CON-4: what changed meanwhile is copied as it is now, and told as done."""
    stage.hold(1, "ETH", "1")
    stage.settle()
    stage.hold(1, "ETH", "0")
    stage.hold(2, "BTC", "0.02")
    stage.settle()
    stage.settings(dry_run=False)
    stage.settle()
    assert (stage.held("ETH"), stage.held("BTC")) == (0, D("0.01"))
    copied = stage.decisions("copied")
    assert copied[0].startswith("Dry run: Copied ETH")
    assert copied[1].startswith("Dry run: Copied BTC")
    assert copied[2].startswith("Copied BTC")


def test_a_dry_run_leaves_what_is_held_as_it_is(stage: Stage) -> None:
    """CON-4: nothing ordered means no exit either; when it ends the trader's close is copied."""
    stage.settings(dry_run=False)
    stage.hold(1, "ETH", "1")
    stage.settle()
    held = stage.held("ETH")
    assert held == D("0.5")
    stage.settings(dry_run=True)
    stage.hold(1, "ETH", "0")
    stage.settle()
    assert stage.held("ETH") == held
    stage.settings(dry_run=False)
    stage.settle()
    assert stage.held("ETH") == 0
