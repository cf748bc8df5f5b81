"""FOL-3, SYN-4, SYN-5: an agent that posts is read like any trader, and its silence is never a closing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from accounts.models import Portfolio, User
from core.errors import NotFound, RetryLater
from engine.agents import agent_posted
from engine.follows import follow_start
from engine.portfolios import portfolio_open
from markets.models import Instrument
from tests.integration.sync.conftest import StillClock
from traders.domain.reads import TraderPosition
from traders.models import QuarantinedRead, Trader, TraderSnapshot
from traders.push import NewAgent, Posted, agent_register
from traders.services import trader_find_or_create, trader_preview
from traders.sync import SyncOutcome, sync_due

pytestmark = pytest.mark.django_db(transaction=True)
BTC, ETH, SOL = "BTC", "ETH", "SOL"
RULES = {"quantity_step": D("0.00001"), "price_places": 2}


@pytest.fixture
def portfolio(alice: User, now: datetime) -> Portfolio:
    for code in (BTC, ETH, SOL):
        Instrument.objects.get_or_create(code=code, defaults=RULES | {"underlying": code})
    return portfolio_open(owner=alice, initial_cash=D(10000), now=now, name="Mine")


@pytest.fixture
def made(alice: User, now: datetime) -> NewAgent:
    """Alice's agent, which promises to post every minute."""
    return agent_register(owner=alice, name="Grid bot", interval_s=60, via="page", now=now)


@pytest.fixture
def followed(made: NewAgent, portfolio: Portfolio, now: datetime) -> Trader:
    """Alice follows it."""
    return follow_start(portfolio=portfolio, kind="push", key=str(made.agent.public_id), now=now).trader


def post(made: NewAgent, at: datetime, *held: tuple[str, str], equity: str = "1000") -> Posted:
    """Post so much of each instrument, at 100 dollars."""
    made.agent.refresh_from_db()
    positions = [TraderPosition(code, D(quantity), D(100)) for code, quantity in held]
    return agent_posted(
        agent=made.agent,
        sequence=made.agent.sequence + 1,
        at=at,
        equity=D(equity),
        positions=positions,
        digest=f"{made.agent.sequence + 1:064d}",
        now=at,
    )


def sync(at: datetime) -> SyncOutcome:
    """Let whatever is due be read at this moment."""
    return sync_due(now=at, clock=StillClock(at))


def held(trader: Trader) -> dict[str, str]:
    """Return what the newest snapshot holds."""
    trader.refresh_from_db()
    assert trader.latest_snapshot is not None
    return {row["code"]: row["quantity"] for row in trader.latest_snapshot.positions}


def test_a_post_is_read_at_once_and_wakes_who_follows(
    made: NewAgent, followed: Trader, now: datetime
) -> None:
    """The post makes the trader due; what it says is the snapshot, exactly."""
    first = now + timedelta(seconds=1)
    post(made, first, (BTC, "0.5"), (ETH, "-2.000000000001"), equity="1234.56789")
    assert sync(first).changed_trader_ids == [followed.pk]
    assert held(followed) == {BTC: "0.5", ETH: "-2.000000000001"}
    assert followed.latest_snapshot is not None
    assert (followed.latest_snapshot.equity, followed.latest_snapshot.world_at) == (D("1234.56789"), first)
    soon = first + timedelta(seconds=2)
    assert sync(soon).synced_ids == []
    post(made, soon, (BTC, "0.7"))
    assert sync(soon).changed_trader_ids == [followed.pk]
    assert held(followed) == {BTC: "0.7"}


def test_an_old_post_is_good_until_the_promise_is_broken(
    made: NewAgent, followed: Trader, now: datetime
) -> None:
    """Read again it adds no snapshot; then reads fail, nothing is closed, and the next post mends it."""
    first = now + timedelta(seconds=1)
    post(made, first, (BTC, "0.5"))
    sync(first)
    Trader.objects.update(next_sync_at=first)
    assert sync(first + timedelta(seconds=59)).cached_ids == [followed.pk]
    late = first + timedelta(seconds=61)
    Trader.objects.update(next_sync_at=late)
    assert sync(late).failed_ids == [followed.pk]
    assert held(followed) == {BTC: "0.5"}
    assert followed.status == Trader.Status.DEGRADED
    assert followed.last_error == "the agent posted nothing for 61 s; it promises to post every 60 s"
    assert TraderSnapshot.objects.count() == 1
    back = late + timedelta(seconds=1)
    post(made, back, (BTC, "0.4"))
    assert sync(back).changed_trader_ids == [followed.pk]
    assert held(followed) == {BTC: "0.4"}
    assert (followed.status, followed.failures_in_row) == (Trader.Status.ACTIVE, 0)


def test_everything_gone_at_once_waits_for_a_second_post(
    made: NewAgent, followed: Trader, now: datetime
) -> None:
    """SYN-5: the same post does not confirm itself, however often it is read; another one does."""
    first = now + timedelta(seconds=1)
    post(made, first, (BTC, "1"), (ETH, "1"), (SOL, "1"))
    sync(first)
    empty = first + timedelta(seconds=2)
    post(made, empty)
    assert sync(empty).quarantined_ids == [followed.pk]
    for wait_s in (5, 20, 40):
        at = empty + timedelta(seconds=wait_s)
        Trader.objects.update(next_sync_at=at)
        assert sync(at).deferred_ids == [followed.pk]
        assert set(held(followed)) == {BTC, ETH, SOL}
    second = empty + timedelta(seconds=45)
    post(made, second)
    assert sync(second).changed_trader_ids == [followed.pk]
    assert held(followed) == {}
    assert QuarantinedRead.objects.get().confirmed_at is not None


def test_a_slip_is_taken_back_by_the_next_post(made: NewAgent, followed: Trader, now: datetime) -> None:
    """SYN-5: an agent that forgot its positions once and names them again has closed nothing."""
    first = now + timedelta(seconds=1)
    post(made, first, (BTC, "1"), (ETH, "1"), (SOL, "1"))
    sync(first)
    post(made, first + timedelta(seconds=2))
    assert sync(first + timedelta(seconds=2)).quarantined_ids == [followed.pk]
    post(made, first + timedelta(seconds=8), (BTC, "1"), (ETH, "1"), (SOL, "1"))
    assert sync(first + timedelta(seconds=8)).synced_ids == [followed.pk]
    assert set(held(followed)) == {BTC, ETH, SOL}
    assert QuarantinedRead.objects.get().dismissed_at is not None


@pytest.mark.parametrize(("equity", "code"), [("-5", BTC), ("1000", "NOSUCHCOIN")])
def test_odd_posts_are_quarantined_like_everybodys(
    made: NewAgent, followed: Trader, now: datetime, equity: str, code: str
) -> None:
    """SYN-5: negative equity and unknown instruments count once a second post says the same."""
    first = now + timedelta(seconds=1)
    post(made, first, (code, "1"), equity=equity)
    assert sync(first).quarantined_ids == [followed.pk]
    assert not TraderSnapshot.objects.exists()


def test_an_agent_that_never_posted_or_was_revoked_is_unreadable(
    made: NewAgent, followed: Trader, now: datetime
) -> None:
    """Said in words; nothing is taken for an empty book."""
    assert sync(now).failed_ids == [followed.pk]
    followed.refresh_from_db()
    assert followed.last_error == "the agent has not posted anything yet"
    type(made.agent).objects.update(sealed="", revoked_at=now)
    Trader.objects.update(next_sync_at=now)
    sync(now + timedelta(minutes=2))
    followed.refresh_from_db()
    assert followed.last_error == "the agent was revoked"
    assert not TraderSnapshot.objects.exists()


def test_its_owner_previews_it_and_nobody_else_does(
    made: NewAgent, portfolio: Portfolio, alice: User, charlie: User
) -> None:
    """FOL-1, FOL-2: before the first post there is nothing to see; Charlie finds nothing at any time."""
    now, key = datetime.now(tz=UTC), str(made.agent.public_id)
    with pytest.raises(RetryLater, match="not posted anything yet"):
        trader_preview(kind="push", key=key, now=now, owner=alice)
    post(made, now, (BTC, "0.5"))
    preview = trader_preview(kind="push", key=key, now=now, owner=alice)
    assert (preview.identity.name, preview.equity, preview.trader_id) == ("Grid bot", D(1000), made.agent.pk)
    assert [(position.code, position.notional) for position in preview.positions] == [(BTC, D(50))]
    for refused in (
        lambda: trader_preview(kind="push", key=key, now=now, owner=charlie),
        lambda: trader_preview(kind="push", key=key, now=now),
        lambda: trader_find_or_create(kind="push", key=key, now=now, owner=charlie),
        lambda: follow_start(
            portfolio=portfolio_open(owner=charlie, initial_cash=D(1), now=now, name="His"),
            kind="push", key=key, now=now,
        ),
    ):  # fmt: skip
        with pytest.raises(NotFound, match="There is no trader"):
            refused()
    assert Trader.objects.count() == 1
