"""ALL-3: a trader's exposure, scaled to its share of our equity."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation.domain.books import TraderBook, TraderLeg
from allocation.domain.drift import target_drift
from allocation.domain.targets import trader_targets
from tests.unit.decide.scenario import book

D = Decimal


def test_a_quarter_of_our_equity_mirrors_the_exposure_ratio() -> None:
    """ALL-3: 0.25 · 10,000 · (6,000 ÷ 40,000) = 375 long BTC, -187.50 ETH."""
    targets = trader_targets(
        weight=D("0.25"),
        equity=D(10000),
        gross_cap=D(2),
        book=book(40000, {"BTC": "0.1", "ETH": -1}),
        ignored={},
    )
    assert targets.notionals == {"BTC": D(375), "ETH": D("-187.5")}
    assert targets.quantities == {"BTC": D("0.1"), "ETH": D(-1)}
    assert (targets.share, targets.scale) == (D(2500), D(1))


def test_a_trader_beyond_its_share_is_scaled_by_one_factor() -> None:
    """ALL-3: gross 9,000 on 1,000 of equity, cap 1: all legs together 2,500, in proportion 2 : 1."""
    targets = trader_targets(
        weight=D("0.25"),
        equity=D(10000),
        gross_cap=D(1),
        book=book(1000, {"BTC": "0.1", "ETH": -1}),
        ignored={},
    )
    assert targets.notionals == {"BTC": D("1666.66666666"), "ETH": D("-833.33333333")}
    assert sum(abs(n) for n in targets.notionals.values()) <= D(2500)
    assert round(targets.scale, 6) == D("0.111111")


def test_what_is_ignored_is_not_wanted() -> None:
    """SPEC, joining: of 0.4 BTC 0.1 was open before."""
    targets = trader_targets(
        weight=D(1),
        equity=D(1000),
        gross_cap=D(1),
        book=book(48000, {"BTC": "0.4"}),
        ignored={"BTC": D("0.1")},
    )
    assert targets.notionals == {"BTC": D(375)}
    assert targets.quantities == {"BTC": D("0.3")}


def test_equity_below_zero_wants_nothing() -> None:
    """ALL-3: a negative equity must never turn longs into shorts."""
    targets = trader_targets(
        weight=D(1), equity=D(-5), gross_cap=D(1), book=book(12000, {"BTC": "0.1"}), ignored={}
    )
    assert targets.notionals == {"BTC": 0}


def test_a_ruined_trader_has_no_ratio() -> None:
    """ALL-3: refused rather than divided by."""
    with pytest.raises(ValueError, match="no exposure ratio"):
        trader_targets(weight=D(1), equity=D(1), gross_cap=D(1), book=book(0, {"BTC": 1}), ignored={})


@given(
    st.decimals("0", "1", places=4),
    st.decimals("0", "10000000", places=8),
    st.sampled_from([D("0.5"), D(1), D(2)]),
    st.decimals("0.01", "1000000", places=2),
    st.lists(st.decimals("-100000000", "100000000", places=6), max_size=50),
)
def test_over_allocation_is_impossible(
    weight: Decimal, equity: Decimal, cap: Decimal, trader_equity: Decimal, notionals: list[Decimal]
) -> None:
    """ALL-3: Σ|targets of i| <= wᵢ · E · cap, exactly, and every sign is the trader's."""
    legs = {str(i): TraderLeg(str(i), n / 7, n) for i, n in enumerate(notionals) if n}
    targets = trader_targets(
        weight=weight, equity=equity, gross_cap=cap, book=TraderBook(trader_equity, legs), ignored={}
    )
    assert sum((abs(n) for n in targets.notionals.values()), D(0)) <= weight * equity * cap
    assert all(n * legs[u].notional >= 0 for u, n in targets.notionals.items())


def test_drift_is_measured_against_the_target() -> None:
    """ALL-4: 112 held of 100 wanted is 12 %; a target of 0 is a close, not a division."""
    assert target_drift(actual=D(112), target=D(100)) == D("0.12")
    assert target_drift(actual=D(-90), target=D(-100)) == D("0.1")
    with pytest.raises(ValueError, match="close"):
        target_drift(actual=D(1), target=D(0))
