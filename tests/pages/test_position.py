"""The page of one position and the candles behind it (VIEW-3, EXT-1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from engine.models import CycleState, ExitTrigger
from engine.position_story import candles_read, position_read
from execution.orders import order_submit
from markets.models import Candle, World
from positions.booking import fill_book
from positions.models import Position, Valuation
from tests.integration.money.desk import NOW, Desk, desk_open

pytestmark = pytest.mark.django_db
Opened = Callable[[Any], Client]


@pytest.fixture
def desk(alice: User) -> Desk:
    """Alice's desk, long 0.01 BTC from 100,000 for her first trader."""
    opened = desk_open()
    CycleState.objects.create(portfolio=opened.portfolio, next_at=opened.now)
    Valuation.objects.create(portfolio=opened.portfolio, equity=Decimal(10000))
    opened.mark("100000")
    bought = opened.order("BUY", "0.01", "100000")
    order_submit(order_id=bought.pk, now=opened.now)
    fill_book(order_id=bought.pk, fill=opened.fill(bought, "0.01", "100000", "0.45"), now=opened.later())
    return opened


def _sell(desk: Desk, price: str) -> None:
    sold = desk.order("SELL", "0.01", price, reduce_only=True)
    order_submit(order_id=sold.pk, now=desk.now)
    fill_book(order_id=sold.pk, fill=desk.fill(sold, "0.01", price, "0.46"), now=desk.later(7200))


def _text(client: Client, desk: Desk, position: Position) -> str:
    answer = client.get(reverse("dashboard:position", args=[desk.pk, position.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_open_position_shows_what_closes_it(desk: Desk, alice: User, client_of: Opened) -> None:
    """EXT-1: the levels of its guard, its orders, whose it is, and the controls that change it."""
    position = Position.objects.get()
    shown = _text(client_of(alice), desk, position)
    assert "<h1>BTC long</h1>" in shown
    assert "<dt>Stop loss</dt><dd>92,000.0</dd>" in shown
    assert "<dt>Trailing stop</dt><dd>from 112,000.0 on, 5.00% behind</dd>" in shown
    assert "<dt>Average entry</dt><dd>100,000.0</dd>" in shown
    assert "the portfolio's defaults" in shown
    assert "None so far." in shown
    assert 'data-ask="exits"' in shown
    assert 'data-ask="close"' in shown
    assert shown.count('data-label="Asked for by"') == 1
    assert desk.follows[0].trader.name in shown


def test_a_closed_position_keeps_its_story(desk: Desk, alice: User, client_of: Opened) -> None:
    """EXE-7: result, exits that were hit, both orders; nothing can be asked of it any more."""
    position = Position.objects.get()
    _sell(desk, "91500")
    ExitTrigger.objects.create(
        position=position,
        portfolio=desk.portfolio,
        kind="stop_loss",
        price=91500,
        level=92000,
        seen_at=desk.now,
        world_at=desk.now,
        status="done",
        ended_at=desk.now,
    )
    story = position_read(portfolio=desk.portfolio, position_id=position.pk)
    assert (story.is_open, story.side) == (False, "LONG")
    assert story.net_pnl == Decimal("-85.91")
    assert [order.side for order in story.orders] == ["SELL", "BUY"]
    shown = _text(client_of(alice), desk, position)
    assert "Stop loss" in shown
    assert ">92,000.0<" in shown
    assert ">91,500.0<" in shown
    assert "\u221285.91" in shown
    assert 'data-ask="exits"' not in shown
    assert (
        f'href="/portfolios/{desk.pk}/positions/{position.pk}/"'
        in client_of(alice).get(reverse("dashboard:closed", args=[desk.pk])).content.decode()
    )


def test_a_position_is_found_through_its_own_portfolio_alone(
    desk: Desk, alice: User, charlie: User, client_of: Opened
) -> None:
    """SEC-1: neither an outsider nor another portfolio of the same owner reaches it."""
    position, other = Position.objects.get(), desk_open(name="Other desk")
    for name in ("position", "position_candles"):
        address = reverse(f"dashboard:{name}", args=[other.pk, position.pk])
        assert client_of(alice).get(address).status_code == 404
        address = reverse(f"dashboard:{name}", args=[desk.pk, position.pk])
        assert client_of(charlie).get(address).status_code == 404


def _candle(desk: Desk, minutes: int, *prices: str, closed: bool = True) -> None:
    opened_at = NOW + timedelta(minutes=minutes)
    names = ("open", "high", "low", "close")
    Candle.objects.create(
        world=desk.world,
        instrument_id="BTC",
        opened_at=opened_at,
        ticks=3,
        source="marks",
        closed=closed,
        last_at=opened_at,
        **dict(zip(names, map(Decimal, prices), strict=True)),
    )


def test_candles_come_with_the_fills(desk: Desk, alice: User, client_of: Opened) -> None:
    """MKT-2: exact prices as text, oldest first; ``since`` leaves out what is known already."""
    position = Position.objects.get()
    World.objects.filter(pk=desk.world.pk).update(price_note="interpolated")
    _candle(desk, 0, "100000", "100400.5", "99900", "100100")
    _candle(desk, 5, "100100", "100200", "100000", "100150")
    at = int(NOW.timestamp())
    address = reverse("dashboard:position_candles", args=[desk.pk, position.pk])
    answer = client_of(alice).get(address).json()
    assert answer == {
        "run": 1,
        "of_this_run": True,
        "note": "interpolated",
        "candles": [
            [at, "100000", "100400.5", "99900", "100100"],
            [at + 300, "100100", "100200", "100000", "100150"],
        ],
        "fills": [{"at": at, "side": "BUY", "quantity": "0.01", "price": "100000"}],
    }
    later = client_of(alice).get(address, {"since": at + 300}).json()
    assert [row[0] for row in later["candles"]] == [at + 300]


@pytest.mark.parametrize("since", ["x", "", "99999999999999999999", "nan"])
def test_an_odd_since_is_refused(desk: Desk, alice: User, client_of: Opened, since: str) -> None:
    """VIEW-3: said, not guessed."""
    address = reverse("dashboard:position_candles", args=[desk.pk, Position.objects.get().pk])
    assert client_of(alice).get(address, {"since": since}).status_code == 400


def test_an_earlier_run_has_no_candles(desk: Desk) -> None:
    """MKT-2: prices of another run of a replay are not this position's."""
    _candle(desk, 0, "1", "1", "1", "1")
    World.objects.filter(pk=desk.world.pk).update(run=2)
    answer = candles_read(portfolio=desk.portfolio, position_id=Position.objects.get().pk, now=desk.now)
    assert (answer["of_this_run"], answer["candles"]) == (False, [])
    assert len(answer["fills"]) == 1
