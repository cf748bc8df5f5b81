"""Where take profits fill: at their target or within half a percent of it, never worse (EXT-1)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import redis
from django.conf import settings

from core.clock import SYSTEM_CLOCK, utc_now
from engine.exits.leases import shards_ensure
from engine.exits.standing import triggers_work
from engine.exits.watch import ExitWatch
from engine.models import ExitTrigger
from engine.order_life import orders_work
from execution.models import Fill
from markets.recordings import COINBASE_2018
from markets.services import marks_write
from markets.tape import TapeWriter
from positions.models import Position
from tests.exits.brute import Rules
from tests.exits.play import Opening, play_make, positions_make
from tests.exits.stand import turn

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PROFITS = (D("0.4"), D("0.8"))
FLUSHES = 45
REACH = D("0.005")


def test_take_profits_of_a_recording_fill_within_half_a_percent(
    redis_client: redis.Redis, alice: Any
) -> None:
    """EXT-1: real minutes through tape, watch and paper venue; only a gap fills further away, and better."""
    apart = timedelta(seconds=1)
    play = play_make(
        name=COINBASE_2018, step=timedelta(minutes=2), now=utc_now() - FLUSHES * apart, apart=apart
    )
    codes = sorted(play.recording.prices)
    for flush in range(0, 30, 6):
        prices = play.recording.prices_at(play.flushes[flush].world_at)
        for code in codes:
            for sign in (1, -1):
                for gain in PROFITS:
                    rules = Rules(steps=((gain, D(100)),))
                    play.openings.append(Opening(code, flush, flush, sign, rules, prices[code]))
    positions_make(play=play, numbers=range(len(play.openings)), owner=alice, now=utc_now())
    shards_ensure()
    watch = ExitWatch(name="fills", client=redis_client, clock=SYSTEM_CLOCK, shards=settings.EXIT_SHARDS)
    writer = TapeWriter(client=redis_client, shards=settings.EXIT_SHARDS, kept_s=3600)
    for flush in play.flushes[:FLUSHES]:
        now = flush.received_at
        writer.append(flush.ticks, now=now)
        prices = play.recording.prices_at(flush.world_at)
        marks_write(world=play.world, prices=prices, quoted_at=flush.world_at, received_at=now)
        turn(watch, times=1)
        triggers_work(now=now)
        orders_work(now=now)
    watch.let_go()

    fills = Fill.objects.filter(order__exit_triggers__kind="take_profit").select_related("order")
    targets = dict(ExitTrigger.objects.filter(kind="take_profit").values_list("order_id", "level"))
    near = gapped = 0
    for fill in fills:
        sign = 1 if fill.order.side == "SELL" else -1
        better = (fill.price / targets[fill.order_id] - 1) * sign
        assert better >= -REACH, (fill, targets[fill.order_id])
        near += better <= REACH
        gapped += better > REACH
    assert near > 10, (near, gapped)
    assert near > gapped, (near, gapped)
    closed = Position.objects.filter(status="closed", exit_triggers__kind="take_profit")
    assert closed.count() > 10
    assert closed.exclude(exit_triggers__kind="take_profit").count() == 0
