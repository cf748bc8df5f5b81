"""What the random sequences have found, told as short stories, so that it stays mended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.types import TraderKind
from engine.copy_cycle import cycle_run
from engine.follows import follow_remove, follow_start
from engine.portfolios import portfolio_open
from engine.syncing import shard_sync
from tests.replaying import StillClock
from tests.stateful.worlds import D, MadeUpWorld, ScriptedSource
from traders.models import QuarantinedRead, Trader
from traders.reading import read_loop_close

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def made_up(db: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The made-up world, read by the real sync."""
    play, source = MadeUpWorld(now=NOW), ScriptedSource()
    source.play = play
    read_loop_close()
    monkeypatch.setattr("traders.reading.source_make", lambda *, kind: source)
    yield play
    read_loop_close()


def sync(play: MadeUpWorld) -> None:
    shard_sync(shard=0, shards=1, now=play.now, clock=StillClock(play.now))


def test_a_trader_left_in_doubt_can_be_followed_again(made_up: MadeUpWorld, alice: Any) -> None:
    """SYN-4, SYN-5: abandoned with a read in quarantine and followed again, every later sync used to fail."""
    key = made_up.keys[0]
    portfolio = portfolio_open(owner=alice, initial_cash=D(1000), now=NOW, name="Again", policy="perp")
    follow = follow_start(portfolio=portfolio, kind=TraderKind.HYPERLIQUID, key=key, now=NOW)
    made_up.traders[key].lie = "not a number"
    sync(made_up)
    assert QuarantinedRead.objects.filter(dismissed_at=None).count() == 1
    follow_remove(follow=follow, keep_positions=False, now=NOW)
    cycle_run(portfolio_id=portfolio.pk, now=NOW)
    assert Trader.objects.get().status == Trader.Status.PAUSED

    follow_start(portfolio=portfolio, kind=TraderKind.HYPERLIQUID, key=key, now=NOW)
    assert not QuarantinedRead.objects.filter(dismissed_at=None).exists()
    made_up.now += timedelta(seconds=6)
    sync(made_up)  # odd again: kept in quarantine, beside nothing else
    assert QuarantinedRead.objects.filter(dismissed_at=None).count() == 1
    made_up.traders[key].lie = ""
    made_up.now += timedelta(seconds=6)
    sync(made_up)
    assert Trader.objects.get().status == Trader.Status.ACTIVE
    assert Trader.objects.get().latest_snapshot is not None


def test_a_number_that_is_none_does_not_stop_the_next_read(made_up: MadeUpWorld, alice: Any) -> None:
    """SYN-4, SYN-5: NaN in quarantine, then an odd equity: comparing the two used to end the sync."""
    key, other = made_up.keys[:2]
    portfolio = portfolio_open(owner=alice, initial_cash=D(1000), now=NOW, name="NaN", policy="perp")
    for each in (key, other):
        follow_start(portfolio=portfolio, kind=TraderKind.HYPERLIQUID, key=each, now=NOW)
    made_up.traders[key].lie = "not a number"
    sync(made_up)
    for lie in ("negative equity", "not a number", "negative equity"):
        made_up.traders[key].lie = lie
        made_up.now += timedelta(seconds=6)
        made_up.due(other)
        sync(made_up)
        assert Trader.objects.get(key=other).synced_at == made_up.now, "who is well is read"
        reads = QuarantinedRead.objects.filter(dismissed_at=None)
        assert [read.confirmed_at for read in reads] == [None]
    made_up.now += timedelta(seconds=6)
    sync(made_up)
    confirmed = QuarantinedRead.objects.get(trader__key=key, confirmed_at=made_up.now)
    assert confirmed.reason == "equity is -5"
