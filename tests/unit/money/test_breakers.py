"""RSK-2, RSK-4: what trips, at which number, and what each breaker does."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from allocation.domain.breakers import (
    CLOSING,
    RULES,
    BreakerKind,
    BreakerThresholds,
    Effect,
    Reading,
    Resets,
    Standing,
    breakers_read,
    copy_stop_read,
    day_is_over,
    losses_in_a_row,
    one_place_only,
    strictest,
)

K = BreakerKind
SHIPPED = BreakerThresholds()


def reading(kind: BreakerKind, **standing: object) -> Reading:
    values = {"unit_value": D(1), "day_start_unit_value": D(1), "peak_unit_value": D(1)} | standing
    (found,) = (
        one
        for one in breakers_read(standing=Standing(**values), thresholds=SHIPPED)  # type: ignore[arg-type]
        if one.kind is kind
    )
    return found


def test_the_shipped_thresholds_are_the_specs() -> None:
    """RSK-2, CFG-1: 5 % a day, 20 % from the mark, 5 in a row, 10 % closes all; 20 % for one trader."""
    assert (SHIPPED.daily_loss, SHIPPED.drawdown, SHIPPED.losses_in_a_row) == (D("0.05"), D("0.20"), 5)
    assert (SHIPPED.emergency_loss, SHIPPED.copy_stop) == (D("0.10"), D("0.20"))


@pytest.mark.parametrize(
    ("kind", "standing", "value", "tripped"),
    [
        (K.DAILY_LOSS, {"unit_value": D("0.9501")}, "0.0499", False),
        (K.DAILY_LOSS, {"unit_value": D("0.95")}, "0.05", True),
        (K.DAILY_LOSS, {"unit_value": D("1.2"), "day_start_unit_value": D("1.25")}, "0.04", False),
        (K.DAILY_LOSS, {"unit_value": D("1.5")}, "0", False),
        (K.EMERGENCY_LOSS, {"unit_value": D("0.9")}, "0.1", True),
        (K.EMERGENCY_LOSS, {"unit_value": D("0.9001")}, "0.0999", False),
        (K.DRAWDOWN, {"unit_value": D("1.2"), "peak_unit_value": D("1.5")}, "0.2", True),
        (K.DRAWDOWN, {"unit_value": D("1.21"), "peak_unit_value": D("1.5")}, "0.193333333333", False),
        (K.DRAWDOWN, {"unit_value": D("-0.1")}, "1.1", True),
        (K.DAILY_LOSS, {"unit_value": D("0.9"), "day_start_unit_value": D(0)}, "0", False),
        (K.LOSSES_IN_A_ROW, {"losses_in_a_row": 4}, "4", False),
        (K.LOSSES_IN_A_ROW, {"losses_in_a_row": 5}, "5", True),
    ],
)
def test_each_breaker_trips_at_its_threshold_and_not_before(
    kind: BreakerKind, standing: dict[str, object], value: str, tripped: bool
) -> None:
    """RSK-2: exact values at the edge."""
    found = reading(kind, **standing)
    assert (found.value, found.tripped) == (D(value), tripped)


def test_use_is_value_over_threshold_and_the_text_says_both() -> None:
    """RSK-2: what the risk page shows."""
    found = reading(K.DAILY_LOSS, unit_value=D("0.9875"))
    assert (found.use, found.text) == (D("0.25"), "1.25 % lost today; the limit is 5 %")
    streak = reading(K.LOSSES_IN_A_ROW, losses_in_a_row=3)
    assert (streak.use, streak.text) == (D("0.6"), "3 losing positions in a row; the limit is 5")


def test_a_trader_trips_its_stop_at_a_fifth_of_its_capital() -> None:
    """Copy stop-loss: 20 % of 2,500 assigned are 500, counted from the base."""
    at = copy_stop_read(result=D(-400), base=D(100), capital=D(2500), threshold=D("0.2"))
    assert (at.value, at.tripped) == (D("0.2"), True)
    before = copy_stop_read(result=D("-399.99"), base=D(100), capital=D(2500), threshold=D("0.2"))
    assert (before.value, before.tripped) == (D("0.199996"), False)
    gain = copy_stop_read(result=D(900), base=D(100), capital=D(2500), threshold=D("0.2"))
    assert gain.value == 0
    nothing = copy_stop_read(result=D(-1), base=D(0), capital=D(0), threshold=D("0.2"))
    assert not nothing.tripped


def test_the_streak_ends_at_the_newest_position_that_did_not_lose() -> None:
    """Breakers: a loss is net P&L < 0; breaking even ends the streak."""
    assert losses_in_a_row(results=[D(-1), D("-0.01"), D(0), D(-5)]) == 2
    assert losses_in_a_row(results=[D(3), D(-5)]) == 0
    assert losses_in_a_row(results=[]) == 0


def test_every_kind_has_a_rule_and_only_days_end_with_the_day() -> None:
    """RSK-2: daily ones reset at the day roll, others by a person; a halt closes only where it says so."""
    assert set(RULES) == set(BreakerKind)
    assert [kind for kind, rule in RULES.items() if rule.resets is Resets.DAY] == [K.DAILY_LOSS]
    assert set(CLOSING) == {K.EMERGENCY_LOSS, K.EMERGENCY_STOP}
    assert [kind for kind, rule in RULES.items() if rule.effect is Effect.FOLLOW] == [K.COPY_STOP]
    assert all(rule.why for rule in RULES.values())


def test_the_strictest_effect_counts_and_one_trader_stops_nobody_else() -> None:
    """RSK-2: ACTIVE, REDUCING, HALTED."""
    assert strictest(effects=["reducing", "halted", "follow"]) is Effect.HALTED
    assert strictest(effects=["follow", "reducing"]) is Effect.REDUCING
    assert strictest(effects=["follow"]) is None


def test_a_day_is_over_at_midnight_utc_or_with_a_new_run() -> None:
    """Breakers: day = UTC, in world time; a replay's run begins its days anew."""
    tripped = datetime(2025, 11, 3, 23, 59, 59, tzinfo=UTC)
    later = {"tripped_at": tripped, "tripped_run": 1}
    assert not day_is_over(**later, world_at=tripped, run=1)  # type: ignore[arg-type]
    assert day_is_over(**later, world_at=datetime(2025, 11, 4, tzinfo=UTC), run=1)  # type: ignore[arg-type]
    earlier = datetime(2025, 10, 17, tzinfo=UTC)
    assert day_is_over(**later, world_at=earlier, run=2)  # type: ignore[arg-type]


def test_hybrid_becomes_single_once_half_a_breaker_is_used() -> None:
    """RSK-4: multi, single, hybrid."""
    calm = breakers_read(standing=Standing(D("0.976"), D(1), D(1)), thresholds=SHIPPED)
    half = breakers_read(standing=Standing(D("0.975"), D(1), D(1)), thresholds=SHIPPED)
    assert one_place_only(trading_mode="multi", readings=half) == ""
    assert one_place_only(trading_mode="single", readings=()) == "the trading mode is single"
    assert one_place_only(trading_mode="hybrid", readings=calm) == ""
    assert one_place_only(trading_mode="hybrid", readings=half) == (
        "the trading mode is hybrid and half a breaker is used: 2.5 % lost today; the limit is 5 %"
    )
