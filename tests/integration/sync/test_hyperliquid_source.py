"""Hyperliquid wallets through the real client against recorded bytes on loopback: FOL-3, SYN-3, Target."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import redis

from core.clock import WorldTime
from tests.loopback.running import HyperliquidProcess, perp_state
from traders.domain.reads import FailureKind, ReadResult
from traders.sources.hyperliquid import HyperliquidSource

pytestmark = pytest.mark.usefixtures("redis_client")
WALLET = "0x5e9ee1089755c3435139848e47e6635505d5a13a"
HYPE_SPOT = (
    '{"balances":[{"coin":"USDC","token":0,"total":"1000.0","hold":"400.0"},'
    '{"coin":"HYPE","token":150,"total":"10.0","hold":"0.0"},'
    '{"coin":"USDE","token":235,"total":"5.0","hold":"0.0"},'
    '{"coin":"NOBODY","token":99999,"total":"7.0","hold":"0.0"}]}'
)


def with_source(step: Callable[[HyperliquidSource], Coroutine[Any, Any, Any]]) -> Any:
    """Run one step with a source, in a loop of its own, and close the source."""

    async def whole() -> Any:
        source = HyperliquidSource()
        try:
            return await step(source)
        finally:
            await source.close()

    return asyncio.run(whole())


def read(now: datetime, *keys: str, max_wait_s: float = 5.0) -> list[ReadResult]:
    """Read wallets once."""
    clock = WorldTime(world="live", run=1, anchored_at=now, world_anchor_at=now)
    return with_source(
        lambda source: source.read(keys or (WALLET,), clock=clock, now=now, max_wait_s=max_wait_s)
    )


def test_a_recorded_account_is_read_to_the_last_decimal(
    hyperliquid: HyperliquidProcess, now: datetime
) -> None:
    """FOL-3: twelve recorded positions, signed; equity is perp account value plus spot."""
    (result,) = read(now)
    assert result.failure is None
    assert result.read is not None
    assert result.read.equity == Decimal("1182.312496") + Decimal("100.5")
    assert len(result.read.positions) == 12
    by_code = {position.code: position for position in result.read.positions}
    btc = by_code["BTC"]
    assert (btc.quantity, btc.entry_price, btc.opened_at) == (Decimal("-0.00785"), Decimal("26951.0"), None)
    assert btc.mark_price == Decimal("26961.200000000000")
    assert by_code["ETH"].quantity == Decimal("0.1334")
    assert hyperliquid.stats()["asked"] == {
        "userAbstraction": 1,
        "perpDexs": 1,
        "clearinghouseState": 1,
        "spotClearinghouseState": 1,
        "userVaultEquities": 1,
        "delegatorSummary": 1,
        "vaultDetails": 1,
    }


def test_what_changes_seldom_is_asked_once_an_hour(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """SYN-3: from the second read on, a wallet costs the two requests of its state, 4 weights."""
    read(now)
    before = hyperliquid.stats()
    read(now)
    after = hyperliquid.stats()
    assert after["weight"] - before["weight"] == 4
    assert after["total"] - before["total"] == 2


def test_a_unified_account_counts_spot_collateral_once(
    hyperliquid: HyperliquidProcess, now: datetime
) -> None:
    """Target: in unified mode accountValue means nothing; spot at mids plus unrealized P&L is the equity."""
    state = perp_state(("BTC", "0.5", "60000.0", "31000.0"), account_value="0.0").replace(
        '"unrealizedPnl": "0.0"', '"unrealizedPnl": "1000.0"'
    )
    hyperliquid.script(
        answers={
            f"userAbstraction|{WALLET}|": '"unifiedAccount"',
            f"clearinghouseState|{WALLET}|": state,
            f"spotClearinghouseState|{WALLET}|": HYPE_SPOT,
        }
    )
    (result,) = read(now)
    assert result.read is not None
    # 1000 USDC (of which 400 held) + 10 HYPE at the mid of @107 + 5 USDE at its mid + 1000 unrealized
    hype, usde = Decimal("28.711"), Decimal("0.999455")
    assert result.read.equity == 1000 + 10 * hype + 5 * usde + 1000


def test_a_standard_account_adds_spot_to_every_dex(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """Target: standard mode adds all dexes and spot; builders' markets keep their prefix."""
    hyperliquid.script(
        answers={
            "perpDexs||": '[null, {"name": "xyz"}, {"name": "flx"}]',
            f"clearinghouseState|{WALLET}|": perp_state(account_value="50.0"),
            f"clearinghouseState|{WALLET}|xyz": perp_state(
                ("xyz:TSLA", "-2.0", "400.0", "820.0"), account_value="300.0"
            ),
        }
    )
    (result,) = read(now)
    assert result.read is not None
    assert result.read.equity == Decimal("450.5")
    (position,) = result.read.positions
    assert (position.code, position.quantity, position.mark_price) == (
        "xyz:TSLA",
        Decimal("-2.0"),
        Decimal(410),
    )

    before = hyperliquid.stats()["asked"]["clearinghouseState"]
    read(now)  # the empty dex flx is not asked again within the hour
    assert hyperliquid.stats()["asked"]["clearinghouseState"] - before == 2


def test_a_flip_is_read_with_its_new_sign(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """FOL-3: a position that turned from long to short is read as short."""
    for size in ("3.0", "-3.0"):
        hyperliquid.script(
            answers={f"clearinghouseState|{WALLET}|": perp_state(("SOL", size, "180.0", "540.0"))}
        )
        (result,) = read(now)
        assert result.read is not None
        assert result.read.quantities() == {"SOL": Decimal(size)}


def test_an_empty_account_is_all_zero(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """FOL-3: an account with nothing in it is a good read of zero equity."""
    hyperliquid.script(
        answers={
            f"clearinghouseState|{WALLET}|": perp_state(account_value="0.0"),
            f"spotClearinghouseState|{WALLET}|": '{"balances":[]}',
        }
    )
    (result,) = read(now)
    assert result.read is not None
    assert (result.read.equity, result.read.positions) == (Decimal(0), ())


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("429", FailureKind.RATE_LIMITED, "asked for a pause"),
        ("500", FailureKind.FAILED, "ExchangeNotAvailable"),
        ("502", FailureKind.FAILED, "could not be asked"),
        ("422", FailureKind.FAILED, "Failed to deserialize"),
        ("null", FailureKind.FAILED, "cannot be read"),
        ("html", FailureKind.FAILED, "cannot be read"),
        ("nonsense", FailureKind.FAILED, "cannot be read"),
        ("empty_list", FailureKind.FAILED, "cannot be read"),
        ("cut_json", FailureKind.FAILED, "cannot be read"),
        ("half", FailureKind.FAILED, "could not be asked"),
        ("cut", FailureKind.FAILED, "could not be asked"),
    ],
)
def test_a_bad_answer_is_a_failure_with_its_reason(
    hyperliquid: HyperliquidProcess, now: datetime, fault: str, kind: FailureKind, says: str
) -> None:
    """SYN-4, SYN-5: however the venue fails, the outcome is a failure as a value, never an empty account."""
    hyperliquid.script(rules=[{"type": "clearinghouseState", "do": fault}])
    (result,) = read(now)
    assert result.read is None
    assert result.failure is not None
    assert result.failure.kind is kind
    assert says in result.failure.reason


def test_one_failing_half_fails_the_read(hyperliquid: HyperliquidProcess, now: datetime) -> None:
    """SYN-5: perpetuals without spot are half a state; it is no read at all."""
    hyperliquid.script(rules=[{"type": "spotClearinghouseState", "do": "500"}])
    (result,) = read(now)
    assert result.read is None


def test_a_short_budget_defers_without_asking(
    hyperliquid: HyperliquidProcess, now: datetime, settings: Any, redis_client: redis.Redis
) -> None:
    """SYN-3: without room in the budget nothing is sent and the wait is named."""
    settings.HYPERLIQUID_WEIGHT_PER_MINUTE = 240  # burst 20, then 3.67 a second
    bucket = f"budget:{settings.EGRESS_NAME}:hyperliquid"
    redis_client.hset(bucket, mapping={"tokens": -100, "at": redis_client.time()[0]})
    (result,) = read(now, max_wait_s=1.0)
    assert result.failure is not None
    assert result.failure.kind is FailureKind.DEFERRED
    assert result.failure.retry_after_s is not None
    assert 28 < result.failure.retry_after_s < 34  # (20 + 100) / 3.67
    assert hyperliquid.stats()["total"] == 0


def test_redis_gone_is_a_clear_failure(hyperliquid: HyperliquidProcess, now: datetime, settings: Any) -> None:
    """SYN-3: where the shared budget cannot be reached nothing is sent, and it does not hang."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    (result,) = read(now)
    assert result.failure is not None
    assert result.failure.kind is FailureKind.FAILED
    assert "Redis cannot be reached" in result.failure.reason
    assert hyperliquid.stats()["total"] == 0


def test_history_tells_recent_pnl_and_whether_anything_was_ever_held(
    hyperliquid: HyperliquidProcess, now: datetime
) -> None:
    """FOL-1: recent P&L as the venue states it; an account that never traded is told apart."""
    clock = WorldTime(world="live", run=1, anchored_at=now, world_anchor_at=now)
    history = with_source(lambda source: source.history(WALLET, clock=clock, now=now))
    assert history.ever_traded
    assert {row.label: row.amount for row in history.recent_pnl} == {
        "Last 24 hours": Decimal("-130193.448756"),
        "Last 7 days": Decimal("-909673.982675"),
        "Last 30 days": Decimal("-780711.46034"),
        "All time": Decimal("650509.577425"),
    }
    nothing = '[["allTime",{"accountValueHistory":[[1,"0.0"]],"pnlHistory":[[1,"0.0"]],"vlm":"0.0"}]]'
    hyperliquid.script(answers={f"portfolio|{WALLET}|": nothing})
    assert not with_source(lambda source: source.history(WALLET, clock=clock, now=now)).ever_traded
