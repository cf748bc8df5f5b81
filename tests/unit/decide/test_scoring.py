"""Scoring and ranking of entries: exact components, exact scores, the turn each one gets (EXE-2)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import OrderSide
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, WorkingOrder
from engine.domain.plan_types import CopyPlan, DecisionKind
from engine.domain.scoring import (
    Candidate,
    CandidateScore,
    MarketPulse,
    PastResults,
    Priority,
    candidate_score,
    priority_of,
)
from tests.unit.decide.scenario import Keeper, book, follow, holding, inputs, markets

D = Decimal
RISING = (0.01, 0.03) * 12  # mean 2 %, deviation 1 %: 9.8 deviations of the mean


def scored(notional: str = "1000", past: Any = (), **pulse: Any) -> CandidateScore:
    return candidate_score(candidate=Candidate("BTC", D(notional), pulse=MarketPulse(**pulse), past=past))


def test_a_candidate_without_any_data_is_neutral() -> None:
    """EXE-2: nothing known is 0.5, neither for nor against."""
    found = scored()
    assert (found.score, found.priority, found.components) == (D("0.5000"), Priority.MEDIUM, {})
    assert found.text == "nothing to score it by"


@pytest.mark.parametrize(
    ("notional", "returns", "component"),
    [
        ("1000", RISING, 1.0),
        ("-1000", RISING, 0.0),
        ("1000", (0.01, -0.01) * 12, 0.5),
        # Mean 0.25 %, deviation √(0.0001 − 0.00000625), 24 hours: Φ(1.2648).
        ("1000", (0.01, 0.01, 0.01, -0.01, -0.01, 0.01, 0.01, -0.01) * 3, 0.8970),
    ],
)
def test_velocity_is_how_surely_the_price_went_the_entrys_way(
    notional: str, returns: tuple[float, ...], component: float
) -> None:
    """EXE-2, Moskowitz et al.: Φ(mean · √n ÷ deviation), signed by side; alone it is the whole score."""
    found = scored(notional, returns=returns)
    assert round(found.components["velocity"], 4) == component
    assert found.score == D(repr(component)).quantize(D("0.0001"))
    assert found.text.endswith("; no data on volume, depth, past")


@pytest.mark.parametrize("returns", [(0.01,) * 7, (0.01,) * 24, (nan,) * 168, (*(nan,) * 20, 0.1, 0.2)])
def test_velocity_needs_eight_returns_that_differ(returns: tuple[float, ...]) -> None:
    """EXE-2: too few hours, or a price that never moved otherwise, say nothing."""
    assert "velocity" not in scored(returns=returns).components


def test_velocity_looks_at_the_last_day_alone() -> None:
    """EXE-2: what fell last week and rose today is rising; a gap is left out."""
    assert round(scored(returns=((-0.03, -0.01) * 72 + RISING)[-168:]).components["velocity"], 4) == 1.0
    assert scored(returns=(*RISING, nan)).components["velocity"] > 0.99


@pytest.mark.parametrize(("volume", "component"), [("100000", 0.5), ("10000000", 1 / 1.1), ("0", 0.0)])
def test_volume_is_the_order_against_what_trades(volume: str, component: float) -> None:
    """EXE-2, square-root law: an order of 1 % of the day's volume gets a half."""
    assert scored(day_volume=D(volume)).components["volume"] == pytest.approx(component)


@pytest.mark.parametrize(
    ("spread", "component"), [("0", 1.0), ("0.0010", 0.5), ("0.0020", 0.0), ("0.1", 0.0)]
)
def test_depth_is_what_an_entrys_limit_leaves_of_the_spread(spread: str, component: float) -> None:
    """EXE-2: half a spread of 10 bps is as far as the limit reaches."""
    assert scored(impact_spread=D(spread)).components["depth"] == pytest.approx(component)


@pytest.mark.parametrize(
    ("results", "component"),
    [
        # Win rate (won + 4) ÷ (closed + 8), return shrunk by closed ÷ (closed + 8).
        (PastResults(closed=8, won=8, mean_return=0.10), (12 / 16 + 0.8413) / 2),
        (PastResults(closed=8, won=0, mean_return=-0.10), (4 / 16 + 0.1587) / 2),
        (PastResults(closed=1, won=1, mean_return=0.0), (5 / 9 + 0.5) / 2),
    ],
)
def test_past_results_are_shrunk_toward_neutral(results: PastResults, component: float) -> None:
    """EXE-2: one lucky trade is not a record."""
    assert scored(past=[(D(1), results)]).components["past"] == pytest.approx(component, abs=1e-4)


def test_traders_count_by_their_part_of_the_entry() -> None:
    """EXE-2: three quarters of it are of one who always won, a quarter of one never seen here."""
    winner = PastResults(closed=8, won=8, mean_return=0.10)
    found = scored(past=[(D(3), winner), (D(1), PastResults())])
    assert found.components["past"] == pytest.approx(0.75 * (0.75 + 0.841345) / 2 + 0.25 * 0.5, abs=1e-6)
    assert scored(past=[(D(3), PastResults())]).components == {}


def test_the_components_are_weighed_and_explained() -> None:
    """EXE-2: 0.30 · 1 + 0.15 · 0.5 + 0.20 · 0.5 + 0.35 · 0.625 = 0.69375."""
    past = [(D(1), PastResults(closed=8, won=8, mean_return=0.0))]
    found = scored(past=past, returns=RISING, day_volume=D(100000), impact_spread=D("0.0010"))
    assert found.score == D("0.6938")
    assert found.priority is Priority.HIGH
    assert found.text == "velocity 1.00, volume 0.50, depth 0.50, past 0.62"
    # Without the day's volume the other weights sum to 0.85: 0.61875 ÷ 0.85.
    less = scored(past=past, returns=RISING, impact_spread=D("0.0010"))
    assert less.score == D("0.7279")
    assert less.text == "velocity 1.00, depth 0.50, past 0.62; no data on volume"


@pytest.mark.parametrize(
    ("score", "priority"),
    [
        ("1", Priority.HIGH),
        ("0.6", Priority.HIGH),
        ("0.5999", Priority.MEDIUM),
        ("0.4", Priority.MEDIUM),
        ("0.3999", Priority.LOW),
        ("0", Priority.LOW),
    ],
)
def test_scores_are_ranked_into_priorities(score: str, priority: Priority) -> None:
    """EXE-2, CAP-1."""
    assert priority_of(score=D(score)) is priority


@given(
    returns=st.lists(st.floats(-0.9, 5) | st.just(nan), max_size=40),
    volume=st.none() | st.decimals(-1, 10**12, places=2),
    spread=st.none() | st.decimals(-1, 10, places=6),
    closed=st.integers(0, 1000),
    mean=st.floats(-2, 2),
    notional=st.decimals(-(10**9), 10**9, places=2),
)
def test_a_score_is_always_between_0_and_1(
    returns: list[float],
    volume: Decimal | None,
    spread: Decimal | None,
    closed: int,
    mean: float,
    notional: Decimal,
) -> None:
    """EXE-2: whatever a venue reports, and twice the same."""
    past = [(D(1), PastResults(closed=closed, won=closed // 2, mean_return=mean))]
    pulse = MarketPulse(returns=returns, day_volume=volume, impact_spread=spread)
    candidate = Candidate("BTC", notional, pulse=pulse, past=past)
    found = candidate_score(candidate=candidate)
    assert 0 <= found.score <= 1
    assert found == candidate_score(candidate=candidate)


def crowd(count: int, **more: Any) -> CopyInputs:
    """One trader with ``count`` equal positions C1, C2, …, each worth 1,000 here."""
    prices = {f"C{number}": D(100) for number in range(1, count + 1)}
    trader = book(10000, dict.fromkeys(prices, 10), prices)
    return inputs(follow(1, trader), markets=markets(prices), **more)


def ordered(plan: CopyPlan) -> list[str]:
    return [order.underlying for order in plan.orders]


def test_entries_are_placed_in_rank_order() -> None:
    """EXE-2: what rose comes before what fell, and both say why on the order and in the decision."""
    falling = tuple(-value for value in RISING)
    pulses = {"C3": MarketPulse(returns=RISING), "C1": MarketPulse(returns=falling)}
    plan = copy_plan(inputs=crowd(3, pulses=pulses))
    assert [(o.underlying, o.score, o.priority) for o in plan.orders] == [
        ("C3", D(1), Priority.HIGH),
        ("C2", D("0.5"), Priority.MEDIUM),
        ("C1", D(0), Priority.LOW),
    ]
    decision = next(d for d in plan.decisions if d.underlying == "C3")
    assert (decision.score, decision.score_text) == (D(1), "velocity 1.00; no data on volume, depth, past")


def test_the_better_ranked_gets_the_capital_that_does_not_suffice() -> None:
    """EXE-2, CAP-1: 1,001 are free; C2 has a record, so C1 waits."""
    past = {(1, "C2"): PastResults(closed=8, won=8, mean_return=0.10)}
    plan = copy_plan(inputs=crowd(2, past=past, free_capital=D("1001.1")))
    assert ordered(plan) == ["C2"]
    (waiting,) = (d for d in plan.decisions if d.underlying == "C1")
    assert waiting.text == "Waiting for capital for C1: A"


def test_an_exit_is_critical_and_has_no_score() -> None:
    """EXE-2: exits come first whatever the score of the entries."""
    keeper = Keeper()
    keeper.carry_out(copy_plan(inputs=keeper.filled_in(crowd(1))))
    prices = {"C1": D(100), "C2": D(100)}
    then = inputs(follow(1, book(10000, {"C2": 10}, prices)), markets=markets(prices))
    plan = copy_plan(inputs=keeper.filled_in(then))
    assert [(o.underlying, o.score, o.priority) for o in plan.orders] == [
        ("C1", None, Priority.CRITICAL),
        ("C2", D("0.5"), Priority.MEDIUM),
    ]


def test_five_entries_at_once_and_the_rest_in_rank_order() -> None:
    """EXE-1, "Signals and targets": of seven, five go; the others are delayed and go when one ends."""
    given_ = crowd(7, pulses={"C7": MarketPulse(returns=RISING)})
    plan = copy_plan(inputs=given_)
    assert ordered(plan) == ["C7", "C1", "C2", "C3", "C4"]
    waiting = [d for d in plan.decisions if d.kind is DecisionKind.DELAYED]
    assert [(d.underlying, d.text) for d in waiting] == [
        ("C5", "Waiting its turn: C5: A"),
        ("C6", "Waiting its turn: C6: A"),
    ]
    assert waiting[0].reason == (
        "A wants $1,000.00 more of C5: as many entries as may work at once do; it goes when one of them "
        "ends. It ranks with 0.5000 (nothing to score it by)."
    )
    keeper = Keeper()
    keeper.carry_out(plan)
    working = {
        underlying: holding(underlying, {}, working=(WorkingOrder(number, OrderSide.BUY, D(10)),))
        for number, underlying in enumerate(["C7", "C1", "C2", "C3", "C4"])
    }
    keeper.slices.clear()
    busy = replace(keeper.filled_in(given_), holdings=working)
    again = copy_plan(inputs=busy)
    assert again.orders == ()
    assert [d.fingerprint for d in again.decisions] == [d.fingerprint for d in waiting]  # adds no row
    arrived = {"C7": holding("C7", {1: 10})}
    one_ended = replace(busy, holdings=working | arrived)
    assert ordered(copy_plan(inputs=one_ended)) == ["C5"]


def test_exits_never_wait_for_a_turn() -> None:
    """EXE-1: with five entries working, what the trader closes is closed now."""
    keeper = Keeper()
    keeper.carry_out(copy_plan(inputs=keeper.filled_in(crowd(1))))
    prices = {f"C{number}": D(100) for number in range(1, 7)}
    gone = inputs(follow(1, book(10000, {}, prices)), markets=markets(prices))
    busy = {
        u: holding(u, {}, working=(WorkingOrder(n, OrderSide.BUY, D(1)),))
        for n, u in enumerate(list(prices)[1:])
    }
    plan = copy_plan(inputs=replace(keeper.filled_in(gone), holdings=busy | {"C1": holding("C1", {1: 10})}))
    assert ordered(plan) == ["C1"]
