"""Copied fills against the traders' own prices, from the order to the figures (BEY-2)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from engine.domain.fidelity import PriceKind
from engine.fidelity_measuring import fidelity_summarise, fills_measure
from engine.follows import weights_set
from engine.models import CopiedSlice, FillFidelity, FollowFidelity
from engine.order_life import orders_work
from engine.selectors import portfolio_view
from execution.models import Fill, Order
from positions.models import SliceEntry
from tests.integration.engine.stage import Stage, stage_open
from tests.replaying import ReplayDriver
from tests.stateful.worlds import MadeUpWorld
from traders.recordings import recorded_events_between

D = Decimal
TEN_THOUSAND = D(10000)


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    """Two traders, an equal share each, no limits in the way."""
    return stage_open(play=made_up, owner=alice, traders=2)


def newest(stage: Stage) -> FillFidelity:
    fills_measure(now=stage.play.now)
    return FillFidelity.objects.select_related("copied", "fill__order").latest("pk")


def recomputed(row: FillFidelity) -> Decimal:
    """Return what the whole must be, from the fill alone."""
    fill, own = row.fill, row.copied.own_price
    sign = 1 if fill.order.side == "BUY" else -1
    entry = SliceEntry.objects.get(fill=fill, slice__follow=row.follow)
    return (sign * (fill.price - own) + entry.fee / abs(entry.quantity)) / own * TEN_THOUSAND


def test_an_entry_is_measured_against_the_traders_entry(stage: Stage) -> None:
    """The trader paid 3,980; the mark had come to 4,000 when we decided."""
    stage.hold(1, "ETH", "1", entry="3980")
    stage.settle()
    row = newest(stage)
    assert row.copied.price_kind == PriceKind.ENTRY
    assert row.copied.own_price == D(3980)
    assert row.delay_bps == D("50.2513")  # 20 ÷ 3,980
    assert row.fill.order.decision_mark == D(4000)
    assert abs(row.whole_bps - recomputed(row)) <= 1
    assert row.whole_bps == row.delay_bps + row.execution_bps + row.fee_bps
    assert row.execution_bps > 0
    assert row.fee_bps > 0


def test_an_add_is_measured_against_what_moved_the_average(stage: Stage) -> None:
    """1 at 4,000, then 1.5 at 4,004 on average: the half cost 4,012."""
    stage.hold(1, "ETH", "1")
    stage.settle()
    stage.hold(1, "ETH", "1.5", entry="4004")
    stage.settle()
    row = newest(stage)
    assert (row.copied.price_kind, row.copied.own_price) == (PriceKind.ADDED, D(4012))
    assert row.delay_bps == D("-29.9103")  # we decided at 4,000: cheaper than the trader


def test_a_close_is_measured_against_the_mark_at_first_sight(stage: Stage) -> None:
    """What a trader got for what it closed it does not report; the reads before and after bound the time."""
    stage.hold(1, "ETH", "1")
    stage.settle()
    before_at = stage.play.now
    stage.hold(1, "ETH", "0")
    stage.settle()
    row = newest(stage)
    assert row.copied.price_kind == PriceKind.SEEN
    assert row.delay_bps == 0
    assert row.quantity < 0
    assert row.copied.acted_from_at < before_at < row.copied.acted_until_at <= row.world_at
    assert row.copied.unsized_bps == 0


def test_each_trader_of_one_order_has_its_own_price(stage: Stage) -> None:
    """Both buy in one cycle; one order, one fill, two measures that differ by what each paid."""
    stage.play.pass_time(seconds=11)
    for number, entry in ((1, "3960"), (2, "4000")):
        stage.hold(number, "ETH", "1", entry=entry)
    stage.settle()
    fills_measure(now=stage.play.now)
    fill = Fill.objects.first()
    assert fill is not None
    assert fill.order.slices.count() == 2
    rows = {row.follow.place: row for row in FillFidelity.objects.filter(fill=fill)}
    assert rows[1].copied.own_price == D(3960)
    assert rows[2].delay_bps == 0
    assert rows[1].delay_bps == D("101.0101")
    assert sum(row.quantity for row in rows.values()) == fill.quantity


def test_what_limits_take_off_is_sizing(made_up: MadeUpWorld, alice: Any) -> None:
    """Conservative: at most 5 % of 10,000 in a position; the trader's 20 % (10 % at half) come to 5 %."""
    stage = stage_open(play=made_up, owner=alice, traders=1, risk_profile="conservative")
    stage.hold(1, "ETH", "0.25")  # a tenth of 10,000
    stage.settle()
    row = newest(stage)
    assert row.copied.wished == D("0.25")
    assert row.copied.sent == D("0.125")
    assert row.copied.unsized_bps == D(5000)


def test_rebalancing_answers_to_nobody(made_up: MadeUpWorld, alice: Any) -> None:
    """A setting moved the position: no trade of the trader's, and no part in its figures."""
    stage = stage_open(play=made_up, owner=alice, traders=2)
    stage.hold(1, "ETH", "1")
    stage.settle()
    fills_measure(now=stage.play.now)
    counted = FollowFidelity.objects.get(follow__place=1).fills
    orders = stage.orders
    first, second = stage.follows
    weights_set(portfolio=stage.portfolio, weights={first.pk: D(80), second.pk: D(20)}, now=stage.play.now)
    stage.settle()
    assert stage.orders == orders + 1
    row = newest(stage)
    assert row.copied.price_kind == PriceKind.NOBODY
    assert row.copied.own_price == row.fill.order.decision_mark
    assert row.delay_bps == 0
    assert FollowFidelity.objects.get(follow__place=1).fills == counted


def test_an_order_placed_again_answers_to_the_same_trade(stage: Stage) -> None:
    """The first order ended unfilled; the next copies the same trade, at the price it had then."""
    stage.hold(1, "ETH", "1", entry="3980")
    stage.cycle()
    first = Order.objects.get()
    Order.objects.filter(pk=first.pk).update(expires_at=stage.play.now + timedelta(seconds=1))
    stage.play.pass_time(seconds=2)
    orders_work(now=stage.play.now)
    stage.price("ETH", "4010")
    stage.settle()
    rows = list(CopiedSlice.objects.order_by("order_slice"))
    assert len(rows) >= 2
    assert {row.price_kind for row in rows} == {PriceKind.ENTRY}
    assert {row.own_price for row in rows} == {D(3980)}
    assert newest(stage).delay_bps == D("75.3769")  # 30 ÷ 3,980: waiting costs


def test_measuring_twice_measures_once(stage: Stage) -> None:
    """And what is done is not looked at again, an hour after its order ended."""
    stage.hold(1, "ETH", "1")
    stage.settle()
    assert fills_measure(now=stage.play.now) == FillFidelity.objects.count() > 0
    assert fills_measure(now=stage.play.now) == 0
    assert not CopiedSlice.objects.filter(done=True).exists()
    fills_measure(now=stage.play.now + timedelta(hours=2))
    assert not CopiedSlice.objects.filter(done=False).exists()


def test_the_database_refuses_parts_that_are_not_the_whole(stage: Stage) -> None:
    """A promise kept by a constraint."""
    stage.hold(1, "ETH", "1")
    stage.settle()
    row = newest(stage)
    with pytest.raises(IntegrityError, match="fidelity_parts_are_the_whole"), transaction.atomic():
        FillFidelity.objects.filter(pk=row.pk).update(whole_bps=row.whole_bps + 1)


def test_figures_forget_what_is_older_than_thirty_days(stage: Stage) -> None:
    """The figures of a trader are of the last 30 days of world time."""
    stage.hold(1, "ETH", "1")
    stage.settle()
    fills_measure(now=stage.play.now)
    kept = FollowFidelity.objects.get()
    assert kept.fills == FillFidelity.objects.count()
    assert kept.whole_p95_bps >= kept.whole_p50_bps
    fidelity_summarise(now=stage.play.now + timedelta(days=29))
    assert FollowFidelity.objects.exists()
    fidelity_summarise(now=stage.play.now + timedelta(days=31))
    assert not FollowFidelity.objects.exists()


def test_recorded_traders_are_measured_against_their_own_fills(arena: ReplayDriver, alice: Any) -> None:
    """Two days of the recording: every copied trade answers to the trader's own recorded fills."""
    keys = ("deepseek-chat-v3.1", "qwen3-max")
    portfolio = arena.portfolio(alice, name="Two", keys=keys, policy="perp", risk_profile="balanced")
    seen_at = arena.world_at
    for _ in range(60):
        arena.forward(5)
        at = arena.world_at
        moved = recorded_events_between(world=arena.world_name, after_at=seen_at, until_at=at)
        seen_at = at
        if moved:
            arena.observe(moved)
            arena.settle(steps=2)
    fills_measure(now=arena.wall_at)
    copied = Fill.objects.filter(order__portfolio=portfolio, order__origin=Order.Origin.COPY)
    entries = SliceEntry.objects.filter(fill__in=copied, slice__follow__isnull=False).exclude(quantity=0)
    rows = list(FillFidelity.objects.select_related("copied", "fill__order"))
    assert len(rows) == entries.count() >= 10
    own = [row for row in rows if row.copied.price_kind == PriceKind.FILL]
    assert len(own) >= 8
    kinds = {row.copied.price_kind for row in rows}
    assert kinds <= {PriceKind.FILL, PriceKind.JOINED, PriceKind.NOBODY}  # nobody: its scale moved, or merged
    assert all(row.delay_bps == 0 for row in rows if row.copied.price_kind == PriceKind.NOBODY)
    for row in rows:
        assert abs(row.whole_bps - recomputed(row)) <= 1
    for row in own:
        assert row.copied.acted_until_at <= row.world_at
        assert row.world_at - row.copied.acted_until_at < timedelta(hours=2)


def test_page_and_api_show_the_measures_to_the_owner_alone(stage: Stage, alice: Any, charlie: Any) -> None:
    """The order's page and its address in the API name each part; the view has the trader's figures."""
    stage.hold(1, "ETH", "1", entry="3980")
    stage.settle()
    row = newest(stage)
    order_id = row.fill.order_id
    page = reverse("dashboard:order", args=[stage.portfolio.pk, order_id])
    address = reverse("api:order", args=[stage.portfolio.pk, order_id])
    mine, theirs = Client(), Client()
    mine.force_login(alice)
    theirs.force_login(charlie)
    text = mine.get(page).content.decode()
    assert "Against the traders&#x27; own prices" in text or "Against the traders' own prices" in text
    assert "Its entry price" in text
    assert "+50.3" in text
    told = mine.get(address).json()["fills"][0]["fidelity"]
    assert [part["delay_bps"] for part in told] == ["50.2513"]
    assert told[0]["own_price"] == "3980"
    assert told[0]["price_kind"] == "entry"
    card = portfolio_view(portfolio=stage.portfolio)["traders"][str(row.follow_id)]
    assert card["fidelity"]["fills"] == FillFidelity.objects.filter(follow=row.follow).count()
    assert card["fidelity"]["delay_bps"] == "50.2513"
    assert theirs.get(page).status_code == 404
    assert theirs.get(address).status_code == 404
