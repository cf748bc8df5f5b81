"""What the risk page says about exits: watched or not, what is close, what time ends (BEY-6, EXT-1)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.template.loader import render_to_string

from accounts.models import User
from core.clock import utc_now
from dashboard.exit_watch import ExitWatch, exit_watch_read
from engine.exits.protection import unprotected_quantiles
from engine.models import CycleState, ExitGap, ExitShard
from engine.selectors import portfolio_reading
from execution.orders import order_submit
from markets.tape import shard_of
from positions.booking import fill_book
from positions.models import ExitDefaults, Position, Valuation
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(alice: User) -> Desk:
    """Alice's desk, long 0.01 BTC from 100,000 and 0.1 ETH from 4,000, marked 1 % above and at the entry."""
    return _desk()


def _desk(**defaults: Any) -> Desk:
    opened = desk_open()
    opened.now = utc_now()
    CycleState.objects.create(portfolio=opened.portfolio, next_at=opened.now)
    Valuation.objects.create(portfolio=opened.portfolio, equity=Decimal(10000))
    if defaults:
        ExitDefaults.objects.create(portfolio=opened.portfolio, **defaults)
    opened.mark("100000")
    opened.mark("4000", "ETH")
    for code, quantity, price in (("BTC", "0.01", "100000"), ("ETH", "0.1", "4000")):
        order = opened.order("BUY", quantity, price, code=code)
        order_submit(order_id=order.pk, now=opened.now)
        fill_book(order_id=order.pk, fill=opened.fill(order, quantity, price, "0.1"), now=opened.now)
    opened.mark("101000")
    return opened


def _watched(*codes: str) -> None:
    now = utc_now()
    for code in codes:
        ExitShard.objects.update_or_create(
            number=shard_of(code=code, shards=settings.EXIT_SHARDS),
            defaults={"holder": "w1", "lease_until": now + timedelta(minutes=1), "watched_at": now},
        )


def _read(desk: Desk) -> ExitWatch:
    return exit_watch_read(context=portfolio_reading(portfolio=desk.portfolio))


def test_watched_and_what_comes_up(desk: Desk) -> None:
    """EXT-1: the closest stop first, to the last decimal; the time stop in the order of its end."""
    _watched("BTC", "ETH")
    found = _read(desk)
    assert (found.guarded, found.unwatched, found.bare) == (2, (), ())
    assert [(near.position.underlying, near.level, near.close) for near in found.nearest] == [
        ("ETH", Decimal(3680), False),
        ("BTC", Decimal(92000), False),
    ]
    assert found.nearest[0].away_pct == 8
    assert round(found.nearest[1].away_pct, 6) == Decimal("8.910891")
    assert [ending.position.underlying for ending in found.endings] == ["BTC", "ETH"]
    assert all(timedelta(days=13) < ending.left <= timedelta(days=14) for ending in found.endings)
    assert found.price_age_s is not None
    assert 0 <= found.price_age_s < 60


def _shown(desk: Desk) -> str:
    context = {"exits": _read(desk), "portfolio": desk.portfolio, "world_speed": 1}
    return render_to_string("dashboard/regions/risk_exits.html", context)


def test_a_position_nobody_watches_is_named(desk: Desk) -> None:
    """BEY-6: a lease that ran out is said at once, with what to do."""
    _watched("BTC", "ETH")
    dead = utc_now() - timedelta(seconds=30)
    shard = shard_of(code="ETH", shards=settings.EXIT_SHARDS)
    ExitShard.objects.filter(pk=shard).update(lease_until=dead, watched_at=dead)
    assert "ETH" in _read(desk).unwatched
    shown = _shown(desk)
    assert "<b>Nobody watches " in shown
    assert "Not watched" in shown
    _watched("BTC", "ETH")
    shown = _shown(desk)
    assert "Nobody watches" not in shown
    assert "Every open position is watched." in shown
    assert "8.0% away" in shown
    assert "Stop loss at 3,680.00" in shown


def test_seconds_without_a_watch(desk: Desk) -> None:
    """BEY-6: a gap counts from the opening of the position on, and is the longest of what is open."""
    _watched("BTC", "ETH")
    opened = utc_now() - timedelta(seconds=100)
    Position.objects.update(opened_at=opened)
    ExitGap.objects.create(
        shard=shard_of(code="BTC", shards=settings.EXIT_SHARDS),
        from_at=opened - timedelta(seconds=50),
        until_at=opened + timedelta(seconds=7, milliseconds=500),
    )
    assert _read(desk).unprotected_s == 7.5
    assert unprotected_quantiles(now=utc_now()) == {0.5: 0.0, 0.99: 7.5, 1.0: 7.5}


def test_no_stop_at_all_is_said(alice: User) -> None:
    """EXT-1: what nothing bounds is named, with where to change it."""
    off = {"stop_loss_pct": 0, "trail_from_pct": 12, "trail_by_pct": 5, "time_stop_days": 0}
    desk = _desk(**off)
    found = _read(desk)
    assert found.bare == ("BTC", "ETH")
    assert (found.nearest, found.endings) == ((), ())
    assert "No stop stands for BTC, ETH." in _shown(desk)


def test_nothing_open_is_nothing_to_watch(alice: User) -> None:
    """VIEW-4: an empty portfolio has words of its own."""
    desk = desk_open()
    CycleState.objects.create(portfolio=desk.portfolio, next_at=desk.now)
    Valuation.objects.create(portfolio=desk.portfolio, equity=Decimal(10000))
    assert _read(desk) == ExitWatch(
        guarded=0,
        bare=(),
        unwatched=(),
        sign_age_s=None,
        price_age_s=None,
        unprotected_s=0.0,
        nearest=(),
        endings=(),
    )
