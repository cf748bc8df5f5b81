"""Private traders, behind somebody's own credentials: for everybody else they do not exist (FOL-2)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Portfolio, User
from allocation.follows import follow_create
from allocation.models import Follow
from core.errors import NotFound
from core.types import TraderKind
from engine.follows import follow_start
from engine.portfolios import portfolio_open
from traders.identities import IDENTIFIERS, TraderIdentity
from traders.models import Trader
from traders.services import trader_find_or_create, trader_preview

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def private_kind(monkeypatch: pytest.MonkeyPatch, alice: User) -> str:
    """A kind of trader of which Alice has one."""

    def identify(key: str, owner: User | None) -> TraderIdentity:
        if owner != alice:
            raise NotFound(f"There is no trader {key!r}.", field="key")
        return TraderIdentity(TraderKind.PUSH, key, "Mine", "MI", "an agent", "", "live", owner)

    monkeypatch.setitem(IDENTIFIERS, TraderKind.PUSH, identify)  # type: ignore[arg-type]
    return TraderKind.PUSH.value


def portfolio_of(owner: Any) -> Portfolio:
    at = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    return portfolio_open(owner=owner, initial_cash=Decimal(10000), now=at, name="Mine")


def test_its_owner_follows_it(now: datetime, alice: User, private_kind: str) -> None:
    """The row is the owner's, one however often it is found."""
    follow = follow_start(portfolio=portfolio_of(alice), kind=private_kind, key="agent", now=now)
    assert follow.trader.owner == alice
    assert trader_find_or_create(kind=private_kind, key="agent", now=now, owner=alice) == follow.trader


def test_nobody_else_finds_previews_or_follows_it(
    now: datetime, alice: User, charlie: User, private_kind: str
) -> None:
    """An outsider learns nothing, not even that it is there; nothing is stored for him."""
    trader = trader_find_or_create(kind=private_kind, key="agent", now=now, owner=alice)
    theirs = portfolio_of(charlie)
    for refused in (
        lambda: trader_find_or_create(kind=private_kind, key="agent", now=now, owner=charlie),
        lambda: trader_find_or_create(kind=private_kind, key="agent", now=now),
        lambda: trader_preview(kind=private_kind, key="agent", now=now, owner=charlie),
        lambda: follow_start(portfolio=theirs, kind=private_kind, key="agent", now=now),
        lambda: follow_create(portfolio=theirs, trader=trader, join_mode="new_only", now=now),
    ):
        with pytest.raises(NotFound, match="There is no trader 'agent'"):
            refused()
    assert Trader.objects.count() == 1
    assert not Follow.objects.exists()
    theirs.refresh_from_db()
    assert theirs.world == ""
