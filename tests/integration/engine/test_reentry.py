"""What our own exit closed is not bought again until its trader closes, flips or adds: every way (EXE-8)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.follows import follow_pause, follow_resume
from engine.own_orders import position_close
from execution.models import Order
from positions.audit import books_audit
from positions.models import Position
from tests.integration.engine.stage import Stage, stage_open
from tests.stateful.worlds import MadeUpWorld

D = Decimal


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    """Alone with one trader, who holds 0.5 ETH of its 10,000, as we do of ours."""
    opened = stage_open(play=made_up, owner=alice, traders=1)
    opened.hold(1, "ETH", "0.5")
    opened.settle()
    assert opened.held("ETH") == D("0.5")
    return opened


def close(stage: Stage, fraction: str = "1", underlying: str = "ETH") -> None:
    """Close a part of a position as its owner, and let the order fill."""
    open_ones = Position.objects.filter(portfolio=stage.portfolio).exclude(status=Position.Status.CLOSED)
    closing = position_close(
        portfolio=stage.portfolio,
        position_id=open_ones.get(underlying=underlying).pk,
        fraction=D(fraction),
        market=False,
        command_id=None,
        origin=Order.Origin.PERSON,
        now=stage.play.now,
    )
    assert closing.order_id is not None
    stage.settle()


def rested(stage: Stage, held: str) -> None:
    """Whatever happens meanwhile but a trade: prices move, settings are saved; nothing is bought."""
    orders = stage.orders
    for price in ("4100", "4000"):
        stage.price("ETH", price)
        stage.sync()
        stage.settle(steps=1)
    stage.settings(conflict_rule="first")
    stage.settle()
    assert (stage.orders, round(stage.held("ETH"), 3)) == (orders, D(held))
    assert books_audit() == []


def test_what_was_closed_stays_closed_while_the_trader_holds_it(stage: Stage) -> None:
    """EXE-8: also when settings force every target anew."""
    close(stage)
    rested(stage, "0")
    assert (stage.leg(1, "ETH").ignored_quantity, stage.leg(1, "ETH").trader_quantity) == (D("0.5"), 0)


def test_the_trader_closes_and_opens_again(stage: Stage) -> None:
    """EXE-8: the new position is a new trade."""
    close(stage)
    stage.hold(1, "ETH", "0")
    stage.settle()
    assert (stage.held("ETH"), stage.leg(1, "ETH").ignored_quantity) == (0, 0)
    stage.hold(1, "ETH", "0.4")
    stage.settle()
    assert round(stage.held("ETH"), 3) == D("0.4")
    assert books_audit() == []


def test_the_trader_flips(stage: Stage) -> None:
    """EXE-8: the other side is new, all of it."""
    close(stage)
    stage.hold(1, "ETH", "-0.3", entry="4000")
    stage.settle()
    assert round(stage.held("ETH"), 3) == D("-0.3")
    assert stage.leg(1, "ETH").ignored_quantity == 0


def test_the_trader_adds_and_only_the_added_part_is_copied(stage: Stage) -> None:
    """EXE-8: 0.5 we are out of, 0.2 more: 0.2 is bought; when it takes those off again, they are sold."""
    close(stage)
    stage.hold(1, "ETH", "0.7")
    stage.settle()
    assert round(stage.held("ETH"), 3) == D("0.2")
    rested(stage, "0.2")
    stage.hold(1, "ETH", "0.5")
    stage.settle()
    assert stage.held("ETH") == 0
    rested(stage, "0")


def test_the_trader_reduces_and_nothing_happens(stage: Stage) -> None:
    """EXE-8: what is left of what we are out of stays uncopied; adding to it copies the addition."""
    close(stage)
    stage.hold(1, "ETH", "0.2")
    stage.settle()
    assert (stage.held("ETH"), stage.leg(1, "ETH").ignored_quantity) == (0, D("0.2"))
    stage.hold(1, "ETH", "0.3")
    stage.settle()
    assert round(stage.held("ETH"), 3) == D("0.1")


@pytest.mark.parametrize(
    ("then", "held"),
    [
        ("0.7", "0.45"),  # half of 0.5 is ours, and all of what is added
        ("0", "0"),
        ("-0.3", "-0.3"),
    ],
)
def test_after_half_an_exit_the_other_half_follows_the_trader(stage: Stage, then: str, held: str) -> None:
    """EXE-8: what we kept goes with the trader, what we sold does not come back."""
    close(stage, "0.5")
    assert stage.held("ETH") == D("0.25")
    rested(stage, "0.25")
    stage.hold(1, "ETH", then, entry="4000")
    stage.settle(steps=4)
    assert round(stage.held("ETH"), 3) == D(held)
    assert books_audit() == []


def test_an_exit_below_the_reduction_of_the_trader_is_taken_off_first(stage: Stage) -> None:
    """EXE-8: of 0.5 the trader keeps 0.4; what it sold comes off what we kept, 0.25 becomes 0.15."""
    close(stage, "0.5")
    stage.hold(1, "ETH", "0.4")
    stage.settle()
    assert round(stage.held("ETH"), 3) == D("0.15")
    stage.hold(1, "ETH", "0.2")
    stage.settle()
    assert stage.held("ETH") == 0


def test_exit_after_exit(stage: Stage) -> None:
    """EXE-8: half, then half of the rest, then all; each stays sold."""
    for held in ("0.25", "0.125", "0"):
        close(stage, "0.5" if D(held) else "1")
        assert round(stage.held("ETH"), 3) == D(held)
    rested(stage, "0")


def test_of_two_traders_each_leg_is_locked_by_itself(made_up: MadeUpWorld, alice: Any) -> None:
    """EXE-8, BEY-1: we close what both hold; one adds, and only its addition is bought."""
    stage = stage_open(play=made_up, owner=alice, traders=2)
    stage.hold(1, "ETH", "0.5")
    stage.hold(2, "ETH", "1")
    stage.settle()
    assert stage.slices("ETH") == {1: D("0.25"), 2: D("0.5")}
    close(stage)
    assert stage.held("ETH") == 0
    stage.hold(2, "ETH", "1.4")
    stage.settle()
    assert {number: round(quantity, 3) for number, quantity in stage.slices("ETH").items()} == {2: D("0.2")}
    stage.hold(1, "ETH", "0")
    stage.cycle()
    stage.hold(1, "ETH", "0.2")
    stage.settle()
    assert {number: round(quantity, 3) for number, quantity in stage.slices("ETH").items()} == {
        1: D("0.1"),
        2: D("0.2"),
    }
    assert books_audit() == []


def test_a_pause_between_changes_nothing_of_the_lock(stage: Stage) -> None:
    """EXE-8, FOL-1: paused and resumed, what was closed stays closed."""
    close(stage)
    follow_pause(follow=stage.follows[0], now=stage.play.now)
    stage.settle()
    follow_resume(follow=stage.follows[0], now=stage.play.now)
    stage.hold(1, "ETH", "0.5")
    stage.settle()
    assert stage.held("ETH") == 0
    stage.hold(1, "ETH", "0.6")
    stage.settle()
    assert round(stage.held("ETH"), 3) == D("0.1")


def test_the_trader_closes_and_opens_again_between_two_reads(stage: Stage) -> None:
    """EXE-8: it looks like a reduction; the time of opening says that it is a new trade."""
    close(stage)
    stage.play.pass_time(seconds=30)
    stage.play.traders[stage.play.keys[0]].positions.clear()
    stage.hold(1, "ETH", "0.4")
    stage.settle()
    assert (round(stage.held("ETH"), 3), stage.leg(1, "ETH").ignored_quantity) == (D("0.4"), 0)
    assert books_audit() == []


def test_it_opens_again_just_as_large_between_two_reads(stage: Stage) -> None:
    """EXE-8: no quantity differs, and yet it is another position."""
    close(stage)
    stage.play.pass_time(seconds=30)
    stage.play.traders[stage.play.keys[0]].positions.clear()
    stage.hold(1, "ETH", "0.5")
    stage.settle()
    assert round(stage.held("ETH"), 3) == D("0.5")


def test_a_mere_reduction_is_no_new_trade(stage: Stage) -> None:
    close(stage)
    stage.hold(1, "ETH", "0.4")
    stage.settle()
    assert (stage.held("ETH"), stage.leg(1, "ETH").ignored_quantity) == (0, D("0.4"))
