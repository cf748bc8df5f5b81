"""EXT-1, EXE-8, VIEW-3: the owner closes a part of a position, or all of it, and it stays closed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D

from accounts.models import Portfolio
from allocation.models import Follow, FollowLeg
from allocation.reservations import capital_reserve
from core.types import OrderSide, Policy
from engine.models import Command
from engine.order_life import order_send
from execution.domain.orders import OrderDraft, SliceDraft
from execution.models import Order, PaperOrder
from execution.orders import order_create
from markets.models import Mark
from positions.models import Position
from positions.services import transfers_book
from tests.integration.commands.conftest import Floor


def test_half_then_all_and_neither_is_bought_back(floor: Floor) -> None:
    """EXE-8: the slices shrink pro rata; the traders go on holding, and nothing is bought again."""
    position = floor.position()
    name, before = position.underlying, position.quantity
    slices = {part.follow_id: part.quantity for part in position.slices.all()}
    half = floor.carry_out(floor.ask("close", position_id=position.pk, percent="50"))
    [order] = floor.orders(half)
    assert half.status == "done"
    assert (order.status, order.origin, order.purpose, order.reduce_only, order.market) == (
        "filled",
        "person",
        "reduce",
        True,
        False,
    )
    step = position.instrument.quantity_step
    assert order.quantity == before / 2 // step * step
    position.refresh_from_db()
    assert position.quantity == before - order.quantity
    for part in position.slices.all():
        assert abs(part.quantity - slices[part.follow_id] / 2) <= step
    floor.arena.observe(("grok-4", "deepseek-chat-v3.1"))
    floor.live(4)
    assert floor.held(name) == position.quantity
    # Not even when every target is placed anew: what is wanted now is what was left.
    assert floor.carry_out(floor.ask("mode", trading_mode="multi")).status == "done"
    floor.live(4)
    assert floor.held(name) == position.quantity

    rest = floor.carry_out(floor.ask("close", position_id=position.pk, percent="100"))
    assert rest.status == "done"
    position.refresh_from_db()
    assert (position.status, position.quantity) == ("closed", 0)
    floor.live(4)
    assert floor.held(name) == 0
    assert floor.arena.audit() == []


def test_an_entry_of_ones_own_and_what_refuses_it(floor: Floor) -> None:
    """VIEW-3, CAP-1: it fills into the owner's own slice, and no cycle takes it away."""
    price = Mark.objects.get(instrument_id="BTC").price
    near = str((price * D("1.001")).quantize(D(1)))
    wish = {"instrument": "btc", "side": "BUY", "quantity": "0.002", "limit_price": near}
    before = floor.held("BTC")
    command = floor.ask("entry", **wish)
    assert floor.run(command) == "done"
    command.refresh_from_db()
    assert command.answer == f"Placed: buy 0.002 BTC at up to {near}, for 10 min."
    [order] = floor.orders(command)
    assert (order.origin, order.status, order.reservation.source) == ("person", "submitted", "owner")
    again = floor.carry_out(floor.ask("entry", **wish))
    assert (again.status, again.answer[:41]) == ("refused", "An order in BTC is working already; one w")
    floor.live(3)
    order.refresh_from_db()
    assert order.status == "filled"
    assert floor.held("BTC") == before + D("0.002")
    [own] = floor.position("BTC").slices.filter(follow=None)
    assert own.quantity == D("0.002")

    huge = floor.carry_out(floor.ask("entry", **(wish | {"quantity": "0.05"})))
    assert huge.status == "refused"
    assert huge.answer.startswith("Your limits do not allow it: ")
    assert huge.answer.endswith(" BTC would pass.")
    Portfolio.objects.update(status="reducing", status_reason="Daily loss of 5 %")
    barred = floor.carry_out(floor.ask("entry", **wish))
    assert barred.answer == "Nothing is opened in BTC now: Daily loss of 5 %."
    Portfolio.objects.update(status="active", status_reason="", dry_run=True)
    dry = floor.carry_out(floor.ask("entry", **wish))
    assert dry.answer == "The portfolio is in dry run: nothing is ordered. Switch dry run off first."
    assert len(floor.orders(huge) + floor.orders(barred) + floor.orders(dry)) == 0
    assert floor.arena.audit() == []


def test_close_while_an_entry_works(floor: Floor) -> None:
    """VIEW-3: what opens is called back first, and the close is stored the moment it ended."""
    price = Mark.objects.get(instrument_id="BTC").price
    low = str((price * D("0.97")).quantize(D(1)))
    resting = floor.ask("entry", instrument="BTC", side="BUY", quantity="0.002", limit_price=low)
    floor.carry_out(resting)
    [opening] = floor.orders(resting)
    close = floor.ask("close", position_id=floor.position("BTC").pk, percent="100", market=True)
    floor.run(close)
    opening.refresh_from_db()
    [closing] = floor.orders(close)
    assert (opening.status, closing.market, closing.purpose) == ("cancelled", True, "close")
    assert floor.carry_out(close).status == "done"
    assert floor.held("BTC") == 0
    assert floor.arena.audit() == []


def test_pressed_twice_closes_once(floor: Floor) -> None:
    """EXT-4: the same key is one command, and a worker that dies after storing the order stores no other."""
    position = floor.position()
    first = floor.ask("close", key="k", position_id=position.pk, percent="40")
    assert floor.ask("close", key="k", position_id=position.pk, percent="40.0").pk == first.pk
    floor.run(first)
    Command.objects.filter(pk=first.pk).update(claimed_at=floor.now - timedelta(minutes=1))
    floor.run(first)
    assert len(floor.orders(first)) == 1
    floor.carry_out(first)
    assert floor.held(position.underlying) == position.quantity - floor.orders(first)[0].quantity
    later = floor.carry_out(floor.ask("close", position_id=position.pk, percent="0.0001"))
    assert later.status == "refused"
    assert "is below the venue's smallest step" in later.answer


def test_what_an_order_left_over_is_closed_by_another(floor: Floor) -> None:
    """VIEW-3: an order that expired is followed by one for the rest; no more is sold than was asked."""
    position = floor.position()
    close = floor.ask("close", position_id=position.pk, percent="100")
    floor.run(close)
    [first] = floor.orders(close)
    PaperOrder.objects.filter(client_order_id=first.client_order_id).update(
        status="expired", end_reason="Its time was over"
    )
    done = floor.carry_out(close)
    assert done.status == "done"
    assert floor.held(position.underlying) == 0
    filled = sum(
        order.filled_quantity
        for order in Order.objects.filter(pk__gte=first.pk, reduce_only=True, underlying=position.underlying)
    )
    assert filled == position.quantity


def test_a_position_netted_to_nothing_is_settled_without_an_order(floor: Floor) -> None:
    """BEY-1: where the traders' parts cancel out, closing crosses them at the mark and takes no order."""
    open_now = Position.objects.exclude(status="closed")
    free = Mark.objects.exclude(instrument__underlying__in=open_now.values("underlying"))[0]
    grok, deepseek = Follow.objects.order_by("pk")
    netted = transfers_book(
        portfolio=floor.portfolio,
        instrument_code=free.instrument_id,
        underlying=free.instrument.underlying,
        pairs=[(grok.pk, deepseek.pk, D(3))],
        mark=free.price,
        margin_rate=D(1),
        run=1,
        now=floor.now,
        world_at=floor.now,
    )
    assert netted is not None
    assert (netted.quantity, netted.slices.count()) == (0, 2)
    close = floor.carry_out(floor.ask("close", position_id=netted.pk, percent="100"))
    assert close.status == "done"
    assert close.answer.endswith("nothing is held in all; its traders' parts were settled among them.")
    netted.refresh_from_db()
    assert netted.status == "closed"
    assert floor.orders(close) == []
    floor.live(4)
    assert floor.held(netted.underlying) == 0
    assert floor.arena.audit() == []


def test_cancelling_keeps_it_unbought(floor: Floor) -> None:
    """EXE-8, VIEW-3: what an order called back did not buy is not bought by the next cycle."""
    position = floor.position("BTC")
    leg = FollowLeg.objects.filter(underlying="BTC").exclude(trader_quantity=0).first()
    done = floor.carry_out(floor.ask("cancel", order_id=Order.objects.filter(status="filled").first().pk))
    assert done.status == "refused"
    assert done.answer.startswith("It was filled before it could be cancelled: ")
    order = order_create_copying(floor, leg.follow_id)
    command = floor.carry_out(floor.ask("cancel", order_id=order.pk))
    assert (command.status, command.answer) == ("done", "Cancelled; nothing was filled.")
    order.refresh_from_db()
    assert order.status == "cancelled"
    floor.live(4)
    again = floor.carry_out(floor.ask("cancel", order_id=order.pk))
    assert (again.status, again.answer) == ("refused", "There is nothing to cancel: the order is cancelled.")
    floor.live(4)
    assert floor.held("BTC") == position.quantity
    assert floor.arena.audit() == []


def order_create_copying(floor: Floor, follow_id: int) -> Order:
    """A copying entry in BTC that rests far from the market."""
    price = (Mark.objects.get(instrument_id="BTC").price * D("0.9")).quantize(D(1))
    reservation = capital_reserve(
        portfolio_id=floor.portfolio.pk,
        amount=D(100),
        source="test",
        instrument_code="BTC",
        now=floor.now,
        timeout_s=30,
    )
    draft = OrderDraft(
        instrument_code="BTC",
        underlying="BTC",
        policy=Policy.PERP,
        side=OrderSide.BUY,
        quantity=D("0.001"),
        limit_price=price,
        reduce_only=False,
        purpose="scale_in",
        slices=[SliceDraft(follow_id, D("0.001"))],
        decision_mark=price,
    )
    order = order_create(
        portfolio_id=floor.portfolio.pk, draft=draft, reservation_id=reservation.pk, run=1, now=floor.now
    )
    order_send(order_id=order.pk, now=floor.now)
    return order
