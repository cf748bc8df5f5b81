"""Finding, previewing and describing traders: FOL-1, FOL-2, SYN-4, VIEW-1's trader figures."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.errors import InputError, NotFound, RetryLater
from markets.models import World
from tests.integration.sync.conftest import StillClock
from tests.loopback.running import HyperliquidProcess, perp_state
from traders.identities import trader_identify
from traders.models import SyncAttempt, Trader, TraderSnapshot
from traders.selectors import (
    TraderStats,
    equity_series,
    sync_error_rates,
    trader_get_visible,
    traders_stats,
    traders_visible,
)
from traders.services import (
    catalogue,
    trader_find_or_create,
    trader_preview,
    trader_sync_pause,
    trader_sync_resume,
)
from traders.sync import sync_due

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "0x5e9Ee1089755c3435139848e47e6635505d5a13A"
DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "key", "says"),
    [
        ("hyperliquid", "0x123", "must be 0x followed by 40 digits 0-9 or a-f (42 characters), this has 5"),
        ("hyperliquid", "0x" + "g" * 40, "is not a wallet address"),
        ("hyperliquid", "", "is not a wallet address"),
        ("hyperliquid", "0x" + "a" * 41, "this has 43"),
        ("replay", "gpt-7", "There is no recorded trader"),
        ("carrier pigeon", "x", "There is no kind of trader named 'carrier pigeon'"),
    ],
)
def test_what_names_no_trader_is_refused_clearly(now: datetime, kind: str, key: str, says: str) -> None:
    """FOL-1: an invalid address or name gets a message that says what is wrong; nothing is stored."""
    with pytest.raises(InputError) as error:
        trader_find_or_create(kind=kind, key=key, now=now)
    assert says in error.value.message
    assert error.value.field in {"key", "kind"}
    assert Trader.objects.count() == World.objects.count() == 0


def test_a_trader_is_shared_however_it_is_written(now: datetime) -> None:
    """FOL-2: one address in two spellings is one trader, one sync."""
    first = trader_find_or_create(kind="hyperliquid", key=ADDRESS, now=now)
    assert trader_find_or_create(kind="hyperliquid", key=f" {ADDRESS.lower()} ", now=now) == first
    assert (first.name, first.monogram, first.world) == ("0x5e9e…a13a", "5E", "live")
    assert first.detail == "0x5e9e…a13a, Hyperliquid"
    recorded = trader_find_or_create(kind="replay", key="gemini-2.5-pro", now=now)
    assert (recorded.name, recorded.detail) == ("Gemini 2.5 Pro", "AI model, Alpha Arena")
    assert (recorded.world, recorded.sync_interval_s) == ("replay:alpha_arena", 20)
    assert World.objects.count() == 2


def test_the_catalogue_names_every_recorded_trader() -> None:
    """FOL-3: what can be followed without any account, the shipped strategies at the end."""
    kinds = [identity.kind.value for identity in catalogue()]
    assert kinds == ["replay"] * 9 + ["strategy"] * 3
    assert catalogue()[0] == trader_identify(kind="replay", key="deepseek-chat-v3.1")


def test_a_preview_shows_equity_positions_and_recent_pnl(
    hyperliquid: HyperliquidProcess, now: datetime
) -> None:
    """FOL-1: what a person sees before following, without anything being stored."""
    preview = trader_preview(kind="hyperliquid", key=ADDRESS, now=now)
    assert preview.equity == Decimal("1282.812496")
    btc = next(position for position in preview.positions if position.code == "BTC")
    assert btc.notional == Decimal("-211.64542")
    assert btc.exposure == btc.notional / preview.equity
    assert [row.label for row in preview.recent_pnl] == [
        "Last 24 hours",
        "Last 7 days",
        "Last 30 days",
        "All time",
    ]
    assert preview.trader_id is None
    assert Trader.objects.count() == 0
    trader = trader_find_or_create(kind="hyperliquid", key=ADDRESS, now=now)
    assert trader_preview(kind="hyperliquid", key=ADDRESS, now=now).trader_id == trader.pk
    assert hyperliquid.stats()["asked"]["portfolio"] == 1


def test_an_unknown_wallet_is_told_apart_from_an_empty_one(
    hyperliquid: HyperliquidProcess, now: datetime
) -> None:
    """FOL-1: an address that never held anything is refused; one that is flat now is shown."""
    address = ADDRESS.lower()
    hyperliquid.script(
        answers={
            f"clearinghouseState|{address}|": perp_state(account_value="0.0"),
            f"spotClearinghouseState|{address}|": '{"balances":[]}',
        }
    )
    assert trader_preview(kind="hyperliquid", key=ADDRESS, now=now).equity == 0
    never = "0x" + "1" * 40
    nothing = '[["allTime",{"accountValueHistory":[[1,"0.0"]],"pnlHistory":[[1,"0.0"]],"vlm":"0.0"}]]'
    hyperliquid.script(
        answers={
            f"clearinghouseState|{never}|": perp_state(account_value="0.0"),
            f"spotClearinghouseState|{never}|": '{"balances":[]}',
            f"portfolio|{never}|": nothing,
        }
    )
    with pytest.raises(InputError, match="has never traded on Hyperliquid"):
        trader_preview(kind="hyperliquid", key=never, now=now)


def test_a_preview_that_cannot_be_had_says_so(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """FOL-1: a venue that is away, or answers absurdly, is an error to try again, never an empty trader."""
    hyperliquid.script(rules=[{"type": "clearinghouseState", "do": "500"}])
    with pytest.raises(RetryLater, match="cannot be read right now"):
        trader_preview(kind="hyperliquid", key=ADDRESS, now=now)
    state = perp_state(("BTC", "1.0", "NaN", "1.0"))
    hyperliquid.script(rules=[], answers={f"clearinghouseState|{ADDRESS.lower()}|": state})
    with pytest.raises(RetryLater, match="entry price of BTC is NaN"):
        trader_preview(kind="hyperliquid", key=ADDRESS, now=now)


def test_a_recorded_trader_is_previewed_at_the_replays_time(now: datetime) -> None:
    """FOL-1: P&L of the last recorded day and since the start."""
    trader_find_or_create(kind="replay", key="grok-4", now=now)
    preview = trader_preview(kind="replay", key="grok-4", now=now + timedelta(hours=1))  # past the end
    assert preview.equity == Decimal("7737.95255")
    assert {row.label: row.amount for row in preview.recent_pnl} == {
        "Last 24 hours": Decimal(0),
        "Since the start of the recording": Decimal("-2262.04745"),
    }
    assert preview.world_at == World.objects.get().world_end_at


def test_private_traders_are_their_owners_alone(now: datetime, alice: Any, charlie: Any) -> None:
    """FOL-2: Charlie sees no trader behind Alice's credentials, and cannot tell that there is one."""
    public = trader_find_or_create(kind="replay", key="grok-4", now=now)
    private = Trader.objects.create(
        kind="hyperliquid", key="k", name="n", monogram="N", world="live", owner=alice
    )
    assert set(traders_visible(user=alice)) == {public, private}
    assert set(traders_visible(user=charlie)) == {public}
    assert trader_get_visible(user=alice, trader_id=private.pk) == private
    for trader_id in (private.pk, 10**9):
        with pytest.raises(NotFound, match="There is no such trader"):
            trader_get_visible(user=charlie, trader_id=trader_id)


def test_a_trader_nobody_follows_is_not_synced(now: datetime, still: StillClock) -> None:
    """SYN-4: paused is paused, resumed is due at once."""
    trader = trader_find_or_create(kind="replay", key="grok-4", now=now)
    assert trader_sync_pause(trader_ids=[trader.pk]) == 1
    assert sync_due(now=now + timedelta(hours=1), clock=still).synced_ids == []
    later = now + timedelta(hours=2)
    assert trader_sync_resume(trader_ids=[trader.pk], now=later) == 1
    assert trader_sync_resume(trader_ids=[trader.pk], now=later) == 0
    assert sync_due(now=later, clock=still).synced_ids == [trader.pk]


def snapshots(trader: Trader, rows: Sequence[tuple[float, str]], run: int = 1) -> None:
    """Store snapshots of (hours since DAY, equity); the last becomes the newest."""
    made = [
        TraderSnapshot.objects.create(
            trader=trader, run=run, world_at=DAY + timedelta(hours=hours), equity=Decimal(equity)
        )
        for hours, equity in rows
    ]
    Trader.objects.filter(pk=trader.pk).update(latest_snapshot=made[-1])


def test_a_traders_own_results(now: datetime) -> None:
    """VIEW-1: return since the start of the run, of the day, drawdown and sparkline; a worked example."""
    trader = trader_find_or_create(kind="replay", key="grok-4", now=now)
    unread = trader_find_or_create(kind="replay", key="qwen3-max", now=now)
    snapshots(trader, [(0, "500"), (1, "5000")])  # another run does not count
    snapshots(trader, [(1, "1000"), (10, "1250"), (20, "1000"), (30, "1100"), (40, "1100")], run=2)
    stats = traders_stats(trader_ids=[trader.pk, unread.pk], now=now)
    assert stats == {
        trader.pk: TraderStats(
            equity=Decimal(1100),
            exposure=Decimal(0),
            position_count=0,
            total_return=Decimal("0.1"),
            day_return=Decimal("0.1"),  # since the last read before midnight: 1000
            max_drawdown=Decimal("0.2"),
            error_rate=None,
            sparkline=[1000.0, 1250.0, 1000.0, 1100.0, 1100.0],
        ),
        unread.pk: TraderStats(),
    }


def test_a_series_is_thinned_in_the_database(now: datetime) -> None:
    """VIEW-1: never more points than asked for, the newest always among them, in order, without invention."""
    trader = trader_find_or_create(kind="replay", key="grok-4", now=now)
    rows = [(hour / 10, str(1000 + hour)) for hour in range(500)]
    snapshots(trader, rows)
    line = equity_series(trader_runs={trader.pk: 1}, since_at=DAY + timedelta(hours=10), points=40)[trader.pk]
    assert 35 <= len(line) <= 40
    assert line[-1] == (DAY + timedelta(hours=49.9), Decimal(1499))
    assert line == sorted(line)
    assert line[0][0] >= DAY + timedelta(hours=10)
    assert {(at, equity) for at, equity in line} <= {
        (DAY + timedelta(hours=hours), Decimal(equity)) for hours, equity in rows
    }
    assert equity_series(trader_runs={}, since_at=DAY, points=40) == {}
    one = equity_series(trader_runs={trader.pk: 1}, since_at=DAY + timedelta(hours=49.9), points=40)
    assert one == {trader.pk: [(DAY + timedelta(hours=49.9), Decimal(1499))]}


def test_time_in_which_nobody_was_up_is_no_error_of_a_trader(db: None) -> None:
    """SYN-4: workers that come up late missed no schedule; what they were up for counts."""
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    first, second = (
        trader_find_or_create(kind="hyperliquid", key=f"0x{number:040x}", now=now) for number in (1, 2)
    )

    def read(trader: Trader, *, due_s: int, finished_s: int) -> None:
        SyncAttempt.objects.create(
            trader=trader,
            due_at=now + timedelta(seconds=due_s),
            finished_at=now + timedelta(seconds=finished_s),
            outcome="good",
            duration_ms=200,
        )

    read(first, due_s=0, finished_s=95)  # due every 60 s; the workers came up after 95
    read(second, due_s=50, finished_s=95)  # its time was not over
    read(first, due_s=120, finished_s=121)
    at = now + timedelta(minutes=10)
    ids = [first.pk, second.pk]
    assert sync_error_rates(trader_ids=ids, now=at) == {first.pk: 0, second.pk: 0}
    read(first, due_s=180, finished_s=300)
    assert sync_error_rates(trader_ids=[first.pk], now=at) == {first.pk: 0}
    read(second, due_s=110, finished_s=181)  # somebody was up, and read another
    assert sync_error_rates(trader_ids=[first.pk], now=at) == {first.pk: Decimal("0.5")}
