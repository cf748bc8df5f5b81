"""Following one's own exchange account: nobody else can, and its key goes nowhere (FOL-2, FOL-3)."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import redis
from django.db import IntegrityError, transaction

from accounts.models import Credential, Portfolio, User
from allocation.follows import follow_create
from allocation.models import Follow
from core.errors import NotFound
from core.types import Policy
from engine.feeding import _live_sections
from engine.follows import follow_start
from engine.portfolios import portfolio_open
from markets.models import LIVE
from markets.services import marks_write, world_ensure
from tests.integration.exchange.conftest import SECRET
from tests.loopback.running import ExchangesProcess
from tests.replaying import StillClock
from traders.models import SyncAttempt, Trader
from traders.services import trader_preview
from traders.sync import sync_due

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("instruments")]
Keys = Callable[..., Credential]


def portfolio_of(owner: Any) -> Portfolio:
    at = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    return portfolio_open(owner=owner, initial_cash=D(10_000), now=at, name="Mine")


def test_an_account_is_previewed_followed_and_synced(
    exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys, redis_client: redis.Redis
) -> None:
    """Preview, follow, sync: a snapshot with its equity and what should be known of it."""
    credential = key_of(alice, "kraken")
    key = f"kraken:{credential.pk}"
    preview = trader_preview(kind="exchange", key=key, now=now, owner=alice)
    assert (preview.equity, len(preview.positions)) == (D("40301.15"), 3)
    assert preview.notes == ("Without any price, and not counted: KFEE.",)
    assert preview.identity.detail == "Kraken account key…t"
    follow = follow_start(portfolio=portfolio_of(alice), kind="exchange", key=key, now=now)
    assert (follow.trader.owner, follow.trader.credential) == (alice, credential)
    outcome = sync_due(now=now, clock=StillClock(now))
    assert outcome.changed_trader_ids == [follow.trader_id]
    follow.trader.refresh_from_db()
    snapshot = follow.trader.latest_snapshot
    assert snapshot is not None
    assert snapshot.equity == D("40301.15")
    assert [row["code"] for row in snapshot.positions] == ["BTC", "DOT", "ETH"]
    for name in redis_client.keys("*"):  # type: ignore[union-attr]
        kept = redis_client.dump(name)
        assert SECRET.encode() not in (kept or b"")


def test_nobody_else_can_preview_or_follow_it(
    exchanges: ExchangesProcess, now: datetime, alice: User, charlie: User, key_of: Keys
) -> None:
    """An outsider who guesses the number is told that there is no such account; nothing is asked."""
    key = f"kraken:{key_of(alice, 'kraken').pk}"
    for owner in (charlie, None):
        with pytest.raises(NotFound, match="There is no exchange account"):
            trader_preview(kind="exchange", key=key, now=now, owner=owner)
    with pytest.raises(NotFound, match="There is no exchange account"):
        follow_start(portfolio=portfolio_of(charlie), kind="exchange", key=key, now=now)
    assert not Trader.objects.exists()
    assert exchanges.stats()["asked"] == {}


REVOKED = {"revoked_at": datetime(2026, 3, 1, tzinfo=UTC), "sealed": ""}


@pytest.mark.parametrize("fields", [{"purpose": "trade"}, REVOKED])
def test_a_key_for_trading_or_a_revoked_one_follows_nobody(
    now: datetime, alice: User, key_of: Keys, fields: dict[str, Any]
) -> None:
    """Only a key that was given for following, and still stands, is found."""
    key = f"kraken:{key_of(alice, 'kraken', **fields).pk}"
    with pytest.raises(NotFound):
        trader_preview(kind="exchange", key=key, now=now, owner=alice)


def test_a_refused_key_degrades_its_trader_with_what_to_do(
    exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys
) -> None:
    """The venue refuses the key: the trader says so, and what it held stays."""
    key = f"binance:{key_of(alice, 'binance').pk}"
    follow = follow_start(portfolio=portfolio_of(alice), kind="exchange", key=key, now=now)
    body = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
    exchanges.script(rules=[{"path": "api/v3/account", "do": "401", "body": body}])
    sync_due(now=now, clock=StillClock(now))
    trader = Trader.objects.get(pk=follow.trader_id)
    assert trader.status == Trader.Status.DEGRADED
    assert "enter a new one" in trader.last_error
    assert trader.latest_snapshot is None
    assert SECRET not in "".join(SyncAttempt.objects.values_list("detail", flat=True))


def test_the_database_wants_an_owner_and_a_key(alice: User, key_of: Keys) -> None:
    """A trader of this kind without both cannot be stored."""
    fields = {"kind": "exchange", "key": "kraken:1", "name": "x", "monogram": "KR", "world": "live"}
    for missing in ({"owner": alice}, {"credential": key_of(alice, "kraken")}):
        with pytest.raises(IntegrityError, match="trader_exchange_has_owner_and_key"), transaction.atomic():
            Trader.objects.create(**fields, **missing)


def test_a_coin_of_the_same_name_and_another_price_is_not_copied(
    exchanges: ExchangesProcess, now: datetime, alice: User, key_of: Keys
) -> None:
    """DOT costs there what it cannot cost here: it is counted, and said, and not copied; the others are."""
    marks_write(
        world=world_ensure(name=LIVE, now=now), prices={"DOT": D(1000)}, quoted_at=now, received_at=now
    )
    follow = follow_start(
        portfolio=portfolio_of(alice), kind="exchange", key=f"kraken:{key_of(alice, 'kraken').pk}", now=now
    )
    sync_due(now=now, clock=StillClock(now))
    follow.trader.refresh_from_db()
    snapshot = follow.trader.latest_snapshot
    assert snapshot is not None
    assert snapshot.equity == D("40301.15")
    assert [row["code"] for row in snapshot.positions] == ["BTC", "ETH"]
    assert "Counted, but cannot be copied: DOT." in snapshot.notes


def test_the_feed_is_told_whose_markets_are_in_use(now: datetime, alice: User, key_of: Keys) -> None:
    """Spot of a followed account, contracts where they are read too; nothing of one that nobody follows."""
    portfolio = portfolio_of(alice)
    assert _live_sections() == []
    for credential in (key_of(alice, "kraken"), key_of(alice, "binance")):
        key = f"{credential.venue}:{credential.pk}"
        trader = Trader.objects.create(
            kind="exchange", key=key, name=key, world=LIVE, owner=alice, credential=credential
        )
        follow_create(portfolio=portfolio, trader=trader, join_mode="new_only", now=now)
    sections = [(section.venue, section.policy) for section in _live_sections()]
    assert sections == [("kraken", Policy.SPOT), ("binance", Policy.SPOT), ("binance", Policy.PERP)]
    Follow.objects.filter(trader__key__startswith="binance").update(status=Follow.Status.REMOVED)
    assert [str(section) for section in _live_sections()] == ["kraken spot"]
