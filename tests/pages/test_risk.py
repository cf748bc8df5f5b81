"""The risk page: limits against use, concentration, reservations, trips (RSK-1, RSK-2, CAP-1)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from allocation.models import Reservation
from allocation.reservations import capital_reserve
from core.clock import utc_now
from engine.models import CycleState
from engine.risk_reading import effective_number, risk_read
from engine.selectors import portfolio_reading
from execution.orders import order_submit
from markets.models import LIVE, World
from positions.booking import fill_book
from positions.models import Valuation
from tests.integration.money.desk import NOW, Desk, desk_open

D = Decimal


@pytest.fixture
def desk(alice: User) -> Desk:
    """Alice's desk of 10,000: long BTC for 400, short ETH for 200, one entry working, 50 reserved."""
    opened = desk_open()
    opened.world = World.objects.get_or_create(
        name=LIVE,
        defaults={"label": "Live", "anchored_at": NOW, "world_anchor_at": NOW, "world_start_at": NOW},
    )[0]
    opened.portfolio.world = LIVE
    opened.portfolio.save()
    CycleState.objects.create(portfolio=opened.portfolio, next_at=opened.now)
    Valuation.objects.create(portfolio=opened.portfolio, equity=D(10000), peak_equity=D(10000))
    opened.mark("100000")
    opened.mark("4000", "ETH")
    for side, quantity, price, code, who in [
        ("BUY", "0.004", "100000", "BTC", 0),
        ("SELL", "0.05", "4000", "ETH", 1),
    ]:
        sign = "" if side == "BUY" else "-"
        slices: dict[int | None, str] = {opened.follows[who].pk: f"{sign}{quantity}"}
        order = opened.order(side, quantity, price, code=code, slices=slices)
        order_submit(order_id=order.pk, now=opened.now)
        fill_book(order_id=order.pk, fill=opened.fill(order, quantity, price), now=opened.later())
    opened.order("BUY", "0.001", "100000")
    capital_reserve(
        portfolio_id=opened.pk, amount=D(50), source="bot", instrument_code="SOL", now=utc_now(), timeout_s=30
    )
    return opened


def test_every_limit_is_shown_with_its_use(desk: Desk) -> None:
    """RSK-1: conservative: 5 / 10 / 20 / 50; unknown correlations count as moving together."""
    risk = risk_read(portfolio=desk.portfolio, context=portfolio_reading(portfolio=desk.portfolio))
    assert [(use.label, use.used, use.limit) for use in risk.uses] == [
        ("Largest position", 4, 5),
        ("Largest asset", 4, 5),
        ("Three that move together", 6, 20),
        ("Gross exposure", 6, 50),
        ("Open positions", 2, 10),
        ("Open entry orders", 1, 10),
    ]
    assert [use.close for use in risk.uses] == [True, True, False, False, False, False]
    assert risk.uses[0].note == "BTC"


def test_concentration_counts_effective_positions(desk: Desk) -> None:
    """VIEW-1: 400 and 200 of 600 are worth 1 ÷ (4/9 + 1/9) = 1.8 equal positions."""
    spread = risk_read(
        portfolio=desk.portfolio, context=portfolio_reading(portfolio=desk.portfolio)
    ).concentration
    assert (spread.gross, spread.effective) == (600, D("1.8"))
    assert [(part.name, part.notional, round(part.share_pct, 2)) for part in spread.instruments] == [
        ("BTC", 400, D("66.67")),
        ("ETH", -200, D("33.33")),
    ]
    assert [part.name for part in spread.traders] == ["T1", "T2"]


@pytest.mark.parametrize(
    ("amounts", "number"), [([], D(0)), ([5], D(1)), ([1, 1, 1, 1], D(4)), ([97, 1, 1, 1], D("1.06"))]
)
def test_effective_number_is_the_inverse_herfindahl_index(amounts: list[int], number: Decimal) -> None:
    """Equal amounts count in full, a single large one counts as one."""
    assert round(effective_number(D(amount) for amount in amounts), 2) == number


def test_the_page_shows_what_is_held_and_until_when(
    desk: Desk, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """CAP-1: a grant is shown with who holds it and a countdown."""
    granted = Reservation.objects.get(source="bot")
    shown = client_of(alice).get(reverse("dashboard:risk", args=[desk.pk])).content.decode()
    assert f'data-until="{granted.expires_at:%Y-%m-%dT%H:%M:%S}' in shown
    for words in ["$50.00", "bot", "Three that move together", "spread risk like 1.8 equal ones", "Dry run"]:
        assert words in shown


def test_a_dry_run_is_seen_on_every_page(desk: Desk, alice: User, client_of: Callable[[Any], Client]) -> None:
    """CON-4: the mode's badge says so wherever one is."""
    desk.portfolio.dry_run = True
    desk.portfolio.save()
    for name in ("risk", "orders", "settings"):
        shown = client_of(alice).get(reverse(f"dashboard:{name}", args=[desk.pk])).content.decode()
        assert '<span class="mode" data-mode="dry-run">' in shown
