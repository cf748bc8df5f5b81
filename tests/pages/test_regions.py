"""What a page that keeps itself fresh is sent: its regions, without the frame, once."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from engine.models import CycleState
from positions.models import Valuation
from tests.integration.money.desk import Desk, desk_open

PAGES = ("risk", "conflicts", "orders")


@pytest.fixture
def desk(alice: User) -> Desk:
    """Alice's desk, valued once."""
    opened = desk_open(traders=2)
    CycleState.objects.create(portfolio=opened.portfolio, next_at=opened.now)
    Valuation.objects.create(portfolio=opened.portfolio, equity=Decimal(10000))
    return opened


def region_ids(markup: str) -> set[str]:
    """Ids of the elements that are kept fresh."""
    tags = [tag for tag in re.findall(r"<[a-z]+[^>]*>", markup) if "data-fresh=" in tag]
    return {match[1] for tag in tags if (match := re.search(r'id="([^"]+)"', tag))}


@pytest.mark.parametrize("name", PAGES)
def test_regions_alone(desk: Desk, alice: User, client_of: Callable[[User], Client], name: str) -> None:
    """VIEW-2: every region of the page is in the answer; not the frame, nor the view."""
    address, client = reverse(f"dashboard:{name}", args=[desk.portfolio.pk]), client_of(alice)
    whole = client.get(address).content.decode()
    answer = client.get(address, headers={"X-Regions": "1"})
    regions = answer.content.decode()
    assert answer.status_code == 200
    assert region_ids(regions) == region_ids(whole) != set()
    assert "portfolio-view" in whole
    assert "portfolio-view" not in regions
    assert "<html" not in regions
    assert "X-Regions" in answer["Vary"]


def test_same_regions_are_not_sent_twice(
    desk: Desk, alice: User, client_of: Callable[[User], Client]
) -> None:
    """VIEW-2: who has them already hears so, and nothing else; what changed meanwhile is sent."""
    address, client = reverse("dashboard:orders", args=[desk.portfolio.pk]), client_of(alice)
    first = client.get(address, headers={"X-Regions": "1"})
    again = client.get(address, headers={"X-Regions": "1", "If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get(f"{address}?state=filled", headers={"X-Regions": "1", "If-None-Match": first["ETag"]})
    assert (other.status_code, other["ETag"] == first["ETag"]) == (200, False)


@pytest.mark.parametrize("name", PAGES)
def test_outsider_gets_no_regions(
    desk: Desk, charlie: User, client_of: Callable[[User], Client], name: str
) -> None:
    """SEC-1: Charlie is told there is nothing."""
    address = reverse(f"dashboard:{name}", args=[desk.portfolio.pk])
    assert client_of(charlie).get(address, headers={"X-Regions": "1"}).status_code == 404
    assert Client().get(address, headers={"X-Regions": "1"}).status_code == 302
