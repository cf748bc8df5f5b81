"""RSK-1: limits bound increases, never what is held, and answer with their reason."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation.domain.limits import (
    PROFILES,
    Allowed,
    Answer,
    Capped,
    Denied,
    Exposure,
    Limit,
    Limits,
    gross_cap,
    kept,
    limits_apply,
    reason_of,
)
from core.types import Policy

D = Decimal
BALANCED = PROFILES["balanced"]
EQUITY = D(10000)


def apply(*exposures: Exposure, limits: Limits = BALANCED, equity: Decimal = EQUITY) -> dict[str, Answer]:
    return limits_apply(exposures=exposures, limits=limits, equity=equity, policy=Policy.PERP)


def test_the_profiles_are_those_of_the_specification() -> None:
    """SPEC, profiles: max position / max positions / top-3 correlated / gross."""
    assert {
        n: (p.max_position, p.max_positions, p.max_correlated, p.max_gross) for n, p in PROFILES.items()
    } == {
        "conservative": (D("0.05"), 10, D("0.2"), D("0.5")),
        "balanced": (D("0.25"), 20, D("0.6"), D(1)),
        "aggressive": (D("0.5"), 50, D("1.2"), D(2)),
    }


@pytest.mark.parametrize(
    ("profile", "policy", "cap"),
    [
        ("conservative", Policy.SPOT, "0.5"),
        ("aggressive", Policy.SPOT, "1"),
        ("aggressive", Policy.PERP, "2"),
        ("balanced", Policy.PERP, "1"),
    ],
)
def test_spot_never_exceeds_its_equity(profile: str, policy: Policy, cap: str) -> None:
    """SPEC, profiles: gross is the leverage cap of perp, spot never exceeds 100 %."""
    assert gross_cap(limits=PROFILES[profile], policy=policy) == D(cap)


def test_one_position_is_capped_with_its_numbers() -> None:
    """RSK-1: 25 % of 10,049.20 is 2,512.30; DeepSeek wanted 4,100."""
    answer = apply(Exposure("BTC", wanted=D(-4100)), equity=D("10049.20"))["BTC"]
    assert answer == Capped(to=D("-2512.3"), limit=Limit.POSITION, why="25 % of equity ($2,512.30)")


@pytest.mark.parametrize(
    ("held", "wanted", "to"),
    [
        (D(3000), D(4000), D(3000)),  # grown by the market beyond 2,500: kept, not added to
        (D(3000), D(2800), D(2800)),  # a wanted decrease is granted, even above the cap
        (D(3000), D(2000), D(2000)),
        (D(3000), D(-4000), D(-2500)),  # the other side is an increase from nothing
        (D(1000), D(4000), D(2500)),
        (D(-3000), D(-4000), D(-3000)),
    ],
)
def test_what_is_held_is_never_sold_by_a_limit(held: Decimal, wanted: Decimal, to: Decimal) -> None:
    """RSK-1: up to max(cap, min(|held|, |wanted|))."""
    assert apply(Exposure("BTC", wanted=wanted, held=held, has_place=True))["BTC"].to == to


def test_a_bar_denies_increases_and_lets_decreases_pass() -> None:
    """SPEC, block list: entries never, exits always."""
    barred = "BTC is on the block list"
    assert apply(Exposure("BTC", wanted=D(900), held=D(400), has_place=True, barred=barred)) == {
        "BTC": Denied(to=D(400), limit=Limit.BARRED, why=barred)
    }
    assert apply(Exposure("BTC", wanted=D(100), held=D(400), has_place=True, barred=barred)) == {
        "BTC": Allowed(to=D(100))
    }
    assert apply(Exposure("BTC", wanted=D(-100), held=D(400), has_place=True, barred=barred)) == {
        "BTC": Denied(to=D(0), limit=Limit.BARRED, why=barred)
    }


def test_the_largest_candidates_get_the_places_that_are_left() -> None:
    """SPEC, profiles: nothing is evicted; candidates by size, ties by name."""
    limits = Limits(D(1), 3, D(1), D(2))
    answers = apply(
        Exposure("HELD", wanted=D(0), held=D(5), has_place=True, wants_place=False),
        Exposure("SMALL", wanted=D(10)),
        Exposure("TIE-B", wanted=D(-50)),
        Exposure("TIE-A", wanted=D(50)),
        limits=limits,
    )
    assert answers["TIE-A"] == Allowed(to=D(50))
    assert answers["TIE-B"] == Allowed(to=D(-50))
    assert answers["SMALL"] == Denied(to=D(0), limit=Limit.PLACES, why="all 3 places are taken")
    assert answers["HELD"] == Allowed(to=D(0))


def test_full_places_are_kept_by_who_has_them() -> None:
    """SPEC, profiles: a larger newcomer evicts nobody."""
    limits = Limits(D(1), 1, D(1), D(2))
    answers = apply(
        Exposure("OLD", wanted=D(10), held=D(10), has_place=True),
        Exposure("NEW", wanted=D(9000)),
        limits=limits,
    )
    assert answers["OLD"] == Allowed(to=D(10))
    assert isinstance(answers["NEW"], Denied)


def test_gross_scales_the_increases_by_one_factor() -> None:
    """RSK-1: 10,000 allowed, 6,000 held and kept, increases of 3,000 and 5,000 share 4,000: half each."""
    limits = Limits(D(1), 10, D(1), D(1))
    answers = apply(
        Exposure("A", wanted=D(9000), held=D(6000), has_place=True),
        Exposure("B", wanted=D(-5000)),
        limits=limits,
    )
    why = "100 % gross exposure ($10,000.00)"
    assert answers == {
        "A": Capped(to=D(7500), limit=Limit.GROSS, why=why),
        "B": Capped(to=D(-2500), limit=Limit.GROSS, why=why),
    }
    assert reason_of(answer=Allowed(to=D(1))) == ""


def test_gross_beyond_its_cap_lets_nothing_grow_and_sells_nothing() -> None:
    """RSK-1: 12,000 held after a rise."""
    limits = Limits(D(2), 10, D(1), D(1))
    answers = apply(
        Exposure("A", wanted=D(12000), held=D(12000), has_place=True),
        Exposure("B", wanted=D(100)),
        limits=limits,
    )
    assert answers["A"].to == D(12000)
    assert answers["B"].to == 0


def test_equity_below_zero_lets_nothing_grow() -> None:
    """RSK-1: and still closes nothing by itself."""
    answers = apply(
        Exposure("A", wanted=D(5), held=D(5), has_place=True), Exposure("B", wanted=D(5)), equity=D(-1)
    )
    assert (answers["A"].to, answers["B"].to) == (D(5), D(0))


@given(
    st.lists(
        st.tuples(
            st.decimals("-9000", "9000", places=2), st.decimals("-9000", "9000", places=2), st.booleans()
        ),
        max_size=12,
    ),
    st.sampled_from(sorted(PROFILES)),
    st.sampled_from(list(Policy)),
)
def test_limits_hold_for_every_increase(
    wishes: list[tuple[Decimal, Decimal, bool]], profile: str, policy: Policy
) -> None:
    """RSK-1: one position, places and gross, for any mix of holdings and wishes."""
    limits, equity = PROFILES[profile], D(10000)
    exposures = [
        Exposure(
            str(i), wanted, held, has_place=held != 0, wants_place=wanted != 0, barred="no" if bar else ""
        )
        for i, (wanted, held, bar) in enumerate(wishes)
    ]
    answers = limits_apply(exposures=exposures, limits=limits, equity=equity, policy=policy)
    bases = {e.underlying: abs(kept(held=e.held, wanted=e.wanted)) for e in exposures}
    for each in exposures:
        to = answers[each.underlying].to
        assert to * each.wanted >= 0
        assert bases[each.underlying] <= abs(to) <= abs(each.wanted)
        assert abs(to) <= max(limits.max_position * equity, bases[each.underlying])
        if each.barred:
            assert abs(to) == bases[each.underlying]
    total = sum((abs(a.to) for a in answers.values()), D(0))
    assert total <= max(gross_cap(limits=limits, policy=policy) * equity, sum(bases.values(), D(0)))
    places = sum(1 for e in exposures if e.has_place or answers[e.underlying].to)
    assert places <= max(limits.max_positions, sum(e.has_place for e in exposures))
