"""RSK-1: which positions move together, and the largest sum of three that do."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation.domain.correlation import (
    NO_GROUP,
    TOGETHER_FROM,
    CorrelatedGroup,
    Correlations,
    correlated_limit,
    correlated_top,
    correlations_of,
    pearson,
)

D = Decimal
UP = tuple(float(place % 5 - 2) for place in range(30))
DOWN = tuple(-value for value in UP)


def test_pearson_by_the_book() -> None:
    """RSK-1: a worked example, 1..4 against 2, 1, 4, 3 repeated: ρ = 0.6."""
    one, other = (1.0, 2.0, 3.0, 4.0) * 6, (2.0, 1.0, 4.0, 3.0) * 6
    assert pearson(one, other) == pytest.approx(0.6)
    assert pearson(UP, UP) == pytest.approx(1.0)
    assert pearson(UP, DOWN) == pytest.approx(-1.0)


def test_too_little_data_is_not_known() -> None:
    """RSK-1: 24 common hours at least, and a price that moves."""
    assert pearson(UP[:24], UP[:24]) == pytest.approx(1.0)
    assert pearson(UP[:23], UP[:23]) is None
    gaps = (nan,) * 4 + UP[4:]
    late = UP[:-3] + (nan,) * 3
    assert pearson(gaps, late) is None  # 23 hours in common
    assert pearson(gaps, UP) == pytest.approx(1.0)
    assert pearson(UP, (0.01,) * 30) is None
    found = correlations_of(returns={"B": UP, "A": DOWN, "C": (nan,) * 30})
    assert found.between("A", "B") == found.between("B", "A") == pytest.approx(-1.0)
    assert found.between("A", "C") is None


def test_the_largest_three_of_a_group() -> None:
    """RSK-1: B moves with all, A and D not with each other, E moves alone."""
    rho = {("A", "B"): 0.6, ("B", "C"): 0.8, ("B", "D"): 0.9, ("A", "C"): 0.7}
    rho |= dict.fromkeys([("A", "D"), ("A", "E"), ("B", "E"), ("C", "D"), ("C", "E"), ("D", "E")], 0.1)
    exposures = {"A": D(10), "B": D(20), "C": D(30), "D": D(40), "E": D(55), "F": D(0)}
    assert correlated_top(exposures=exposures, correlations=Correlations(rho)) == CorrelatedGroup(
        centre="B", members=("B", "A", "C", "D"), top=("D", "C", "B"), total=D(90), guessed=False
    )
    alone = {"E": D(-55)}
    group = correlated_top(exposures=alone, correlations=Correlations(rho))
    assert (group.top, group.total) == (("E",), D(55))
    assert correlated_top(exposures={}, correlations=Correlations()) is NO_GROUP


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.booleans()), min_size=1, max_size=9),
    st.lists(st.one_of(st.none(), st.floats(-1, 1)), min_size=36, max_size=36),
    st.integers(0, 900),
)
def test_no_three_that_move_together_exceed_what_is_allowed(
    sizes: list[tuple[int, int, bool]], rho: list[float | None], allowed: int
) -> None:
    """RSK-1: checked over every star of up to three, against the plain definition."""
    names = [str(place) for place in range(len(sizes))]
    known = dict(zip(combinations(map(str, range(9)), 2), rho, strict=True))
    correlations = Correlations({pair: value for pair, value in known.items() if value is not None})
    bases = {name: D(held) for name, (held, _, _) in zip(names, sizes, strict=True)}
    wanted = {
        name: D(held + more) * (1 if up else -1) for name, (held, more, up) in zip(names, sizes, strict=True)
    }
    bounded = correlated_limit(bases=bases, wanted=wanted, allowed=D(allowed), correlations=correlations)
    after = {name: abs(bounded[name][0] if name in bounded else wanted[name]) for name in names}
    assert all(bases[name] <= after[name] <= abs(wanted[name]) for name in names)

    def together(a: str, b: str) -> bool:
        value = known[min(a, b), max(a, b)]
        return value is None or value * (1 if wanted[a] * wanted[b] > 0 else -1) >= TOGETHER_FROM

    for centre in names:
        if not wanted[centre]:
            continue
        group = [n for n in names if wanted[n] and (n == centre or together(n, centre))]
        top = sorted(group, key=lambda name: after[name])[-3:]
        held = sum((bases[name] for name in top), D(0))
        assert sum((after[name] for name in top), D(0)) <= max(D(allowed), held)
