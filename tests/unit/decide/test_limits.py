"""RSK-1: limits bound increases, never what is held, and answer with their reason."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation.domain.correlation import Correlations, groups_of
from allocation.domain.limits import (
    PROFILES,
    Allowed,
    Answer,
    Capped,
    Cut,
    Denied,
    Exposure,
    Limit,
    Limits,
    gross_cap,
    kept,
    limits_apply,
    order_check,
    reason_of,
)
from core.types import Policy
from tests.unit.decide.scenario import WIDE, bounds

D = Decimal
BALANCED = PROFILES["balanced"]
EQUITY = D(10000)


NOTHING_KNOWN = Correlations()


def apply(
    *exposures: Exposure,
    limits: Limits = BALANCED,
    equity: Decimal = EQUITY,
    correlations: Correlations = NOTHING_KNOWN,
) -> dict[str, Answer]:
    return limits_apply(
        exposures=exposures, limits=limits, equity=equity, policy=Policy.PERP, correlations=correlations
    )


def test_the_profiles_are_those_of_the_specification() -> None:
    """SPEC, profiles: max position / max positions / top-3 correlated / gross."""
    assert {
        n: (p.max_position, p.max_positions, p.max_correlated, p.max_gross) for n, p in PROFILES.items()
    } == {
        "conservative": (D("0.05"), 10, D("0.2"), D("0.5")),
        "balanced": (D("0.25"), 20, D("0.6"), D(1)),
        "aggressive": (D("0.5"), 50, D("1.2"), D(2)),
    }
    assert {n: (p.max_asset_weight, p.max_open_orders) for n, p in PROFILES.items()} == {
        "conservative": (D("0.05"), 10),
        "balanced": (D("0.25"), 20),
        "aggressive": (D("0.5"), 50),
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
    limits = bounds(D(1), 3, D(2))
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
    limits = bounds(D(1), 1, D(2))
    answers = apply(
        Exposure("OLD", wanted=D(10), held=D(10), has_place=True),
        Exposure("NEW", wanted=D(9000)),
        limits=limits,
    )
    assert answers["OLD"] == Allowed(to=D(10))
    assert isinstance(answers["NEW"], Denied)


def test_gross_scales_the_increases_by_one_factor() -> None:
    """RSK-1: 10,000 allowed, 6,000 held and kept, increases of 3,000 and 5,000 share 4,000: half each."""
    limits = bounds(D(1), 10, D(1))
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
    limits = bounds(D(2), 10, D(1))
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
    st.dictionaries(
        st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: str(pair[0]) < str(pair[1])),
        st.floats(-1, 1),
    ),
)
def test_limits_hold_for_every_increase(
    wishes: list[tuple[Decimal, Decimal, bool]],
    profile: str,
    policy: Policy,
    rho: dict[tuple[int, int], float],
) -> None:
    """RSK-1: one position, places, top-3 correlated and gross, for any mix of holdings and wishes."""
    correlations = Correlations({(str(a), str(b)): value for (a, b), value in rho.items()})
    limits, equity = PROFILES[profile], D(10000)
    exposures = [
        Exposure(
            str(i), wanted, held, has_place=held != 0, wants_place=wanted != 0, barred="no" if bar else ""
        )
        for i, (wanted, held, bar) in enumerate(wishes)
    ]
    answers = limits_apply(
        exposures=exposures, limits=limits, equity=equity, policy=policy, correlations=correlations
    )
    bases = {e.underlying: abs(kept(held=e.held, wanted=e.wanted)) for e in exposures}
    for each in exposures:
        answer = answers[each.underlying]
        assert answer.to * each.wanted >= 0
        assert bases[each.underlying] <= abs(answer.to) <= abs(each.wanted)
        assert abs(answer.to) <= max(limits.max_position * equity, bases[each.underlying])
        assert sum((cut.amount for cut in answer.cuts), D(0)) == abs(each.wanted) - abs(answer.to)
        if each.barred:
            assert abs(answer.to) == bases[each.underlying]
    after = {underlying: answer.to for underlying, answer in answers.items()}
    total = sum(map(abs, after.values()), D(0))
    assert total <= max(gross_cap(limits=limits, policy=policy) * equity, sum(bases.values(), D(0)))
    places = sum(1 for e in exposures if e.has_place or after[e.underlying])
    assert places <= max(limits.max_positions, sum(e.has_place for e in exposures))
    for members in groups_of(exposures=after, correlations=correlations).values():
        top = sorted(members, key=lambda name: abs(after[name]))[-3:]
        allowed = max(limits.max_correlated * equity, sum((bases[name] for name in top), D(0)))
        assert sum((abs(after[name]) for name in top), D(0)) <= allowed


def pairs(**rho: float) -> Correlations:
    """Return correlations from names like A_B=0.9."""
    return Correlations({(name.split("_")[0], name.split("_")[1]): value for name, value in rho.items()})


def test_the_three_largest_that_move_together_share_their_limit() -> None:
    """RSK-1: 60 % of 10,000 over A, B, C of 25 % each is a factor of 0.8; D moves alone and stays."""
    moving = pairs(A_B=0.9, A_C=0.7, B_C=0.61, A_D=0.2, B_D=-0.5, C_D=0.59)
    answers = apply(*(Exposure(name, wanted=D(2500)) for name in "ABCD"), correlations=moving)
    why = "60 % of equity ($6,000.00) in the three largest that move together: A, B, C"
    cut = (Cut(Limit.CORRELATED, D(500), why),)
    for name in "ABC":
        assert answers[name] == Capped(to=D(2000), limit=Limit.CORRELATED, why=why)
        assert answers[name].cuts == cut
    assert answers["D"] == Allowed(to=D(2500))


def test_a_short_moves_with_what_it_is_opposed_to() -> None:
    """RSK-1: at ρ = −0.9 long A and short B are one bet; long A and long B are none."""
    limits = PROFILES["conservative"]
    moving = pairs(A_B=-0.9)
    opposed = (Exposure("A", wanted=D(300)), Exposure("B", wanted=D(-300)))
    tight = bounds(D(1), 10, D(1))
    assert apply(*opposed, limits=limits, equity=D(1000), correlations=moving)["A"].to == D(50)
    capped = apply(
        *opposed, limits=replace(tight, max_correlated=D("0.4")), equity=D(1000), correlations=moving
    )
    assert (capped["A"].to, capped["B"].to) == (D(200), D(-200))
    alike = (Exposure("A", wanted=D(300)), Exposure("B", wanted=D(300)))
    free = apply(*alike, limits=replace(tight, max_correlated=D("0.4")), equity=D(1000), correlations=moving)
    assert free == {"A": Allowed(to=D(300)), "B": Allowed(to=D(300))}


def test_unknown_correlations_count_as_moving_together_and_say_so() -> None:
    """RSK-1: the careful assumption, whatever the sides."""
    tight = replace(WIDE, max_correlated=D("0.3"))
    answers = apply(Exposure("A", wanted=D(2000)), Exposure("B", wanted=D(-2000)), limits=tight)
    why = (
        "30 % of equity ($3,000.00) in the three largest that move together: A, B, "
        "with too few returns to tell some apart"
    )
    assert answers == {
        "A": Capped(to=D(1500), limit=Limit.CORRELATED, why=why),
        "B": Capped(to=D(-1500), limit=Limit.CORRELATED, why=why),
    }


def test_what_is_held_beyond_the_correlated_limit_is_kept_and_nothing_grows_with_it() -> None:
    """RSK-1: limits bound increases; nothing held is sold for them."""
    tight = replace(WIDE, max_correlated=D("0.3"))
    moving = pairs(A_B=0.9, A_C=0.0, B_C=0.0)
    answers = apply(
        Exposure("A", wanted=D(3500), held=D(3200), has_place=True),
        Exposure("B", wanted=D(10)),
        Exposure("C", wanted=D(900)),
        limits=tight,
        correlations=moving,
    )
    assert answers["A"].to == D(3200)
    assert isinstance(answers["B"], Denied)
    assert answers["B"].limit is Limit.CORRELATED
    assert answers["C"] == Allowed(to=D(900))


def test_the_tighter_of_position_and_asset_weight_counts() -> None:
    """RSK-1: max weight per asset."""
    answer = apply(Exposure("BTC", wanted=D(900)), limits=replace(WIDE, max_asset_weight=D("0.05")))["BTC"]
    assert answer == Capped(to=D(500), limit=Limit.ASSET, why="5 % of equity in one asset ($500.00)")


def check(notional: int, *, limits: Limits = BALANCED, barred: str = "", **more: Any) -> Answer:
    """Ask about an order for BTC; A, B and C are held in other sizes."""
    values: dict[str, Any] = {"held": {"BTC": D(2000), "A": D(1000)}, "open_orders": 0}
    return order_check(
        underlying="BTC",
        notional=D(notional),
        limits=limits,
        equity=EQUITY,
        policy=Policy.PERP,
        correlations=NOTHING_KNOWN,
        barred=barred,
        **(values | more),
    )


def test_an_order_is_cut_to_what_the_limits_leave() -> None:
    """RSK-1: 2,000 of at most 2,500 are held, so 500 may be bought; the answer is about the order."""
    assert check(400) == Allowed(to=D(400))
    assert check(900) == Capped(to=D(500), limit=Limit.POSITION, why="25 % of equity ($2,500.00)")
    assert check(900, held={"BTC": D(2500)}).to == 0


def test_an_order_that_reduces_always_passes() -> None:
    """RSK-1: exits are never counted or held up; a sale beyond flat opens the other side and is bounded."""
    assert check(-2000, open_orders=99, barred="halted") == Allowed(to=D(-2000))
    assert check(-6000) == Capped(to=D(-4500), limit=Limit.POSITION, why="25 % of equity ($2,500.00)")
    assert check(-6000, open_orders=20) == Denied(
        to=D(-2000),
        limit=Limit.OPEN_ORDERS,
        why="20 orders that open positions are working, as many as may",
    )
    assert check(-6000, barred="halted") == Denied(to=D(-2000), limit=Limit.BARRED, why="halted")


def test_an_order_needs_a_place_and_room_among_open_orders_and_in_the_sum() -> None:
    """RSK-1: places, open orders, top-3 correlated and gross, each by itself."""
    full = {"A": D(1000), "B": D(0)}  # B is netted flat and keeps its place
    places = check(10, held=full, limits=replace(WIDE, max_positions=2))
    assert places == Denied(to=D(0), limit=Limit.PLACES, why="all 2 places are taken")
    assert check(10, limits=replace(WIDE, max_open_orders=3), open_orders=3).to == 0
    assert check(10, limits=replace(WIDE, max_open_orders=3), open_orders=2) == Allowed(to=D(10))
    together = check(9000, limits=replace(WIDE, max_correlated=D("0.35")))
    assert (together.to, together.limit) == (D(500), Limit.CORRELATED)  # type: ignore[union-attr]
    gross = check(9000, limits=replace(WIDE, max_gross=D("0.4")))
    assert (gross.to, gross.limit) == (D(1000), Limit.GROSS)  # type: ignore[union-attr]
