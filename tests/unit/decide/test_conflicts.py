"""CON-1, CON-2: several traders wish one underlying; a rule makes one target of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import ConflictRule, Policy
from positions.domain.conflicts import ConflictKind, Resolution, Wish, conflict_kind, conflicts_resolve

D = Decimal
T0 = datetime(2025, 10, 20, tzinfo=UTC)
COMBINE, LARGEST, FIRST = ConflictRule.COMBINE, ConflictRule.LARGEST, ConflictRule.FIRST


def wish(
    follow_id: int, notional: str, *, opened: int | None = 0, weight: str = "0.25", place: int = 0
) -> Wish:
    """A wish for BTC; ``opened`` in minutes after the start."""
    opened_at = None if opened is None else T0 + timedelta(minutes=opened)
    return Wish(follow_id, "BTC", D(notional), D(weight), place or follow_id, opened_at)


def resolve(
    *wishes: Wish, rule: ConflictRule = COMBINE, policy: Policy = Policy.PERP, **overrides: ConflictRule
) -> Resolution:
    return conflicts_resolve(wishes=wishes, rule=rule, policy=policy, overrides=overrides)["BTC"]


def test_agreeing_traders_overlap_and_add_up() -> None:
    """CON-2, combine: 1,000 and 500 long are 1,500."""
    result = resolve(wish(1, "1000"), wish(2, "500"))
    assert (result.kind, result.net, result.winner) == (ConflictKind.OVERLAP, D(1500), None)
    assert result.amounts == {1: D(1000), 2: D(500)}


def test_opposed_perp_traders_keep_their_own_sides() -> None:
    """CON-2, BEY-1: 1,000 long against 400 short nets to 600, each slice stays signed."""
    result = resolve(wish(1, "1000"), wish(2, "-400"))
    assert (result.kind, result.net) == (ConflictKind.OPPOSED, D(600))
    assert result.amounts == {1: D(1000), 2: D(-400)}


def test_perp_traders_may_cancel_out_and_still_hold_slices() -> None:
    """BEY-1: net 0, slices not."""
    result = resolve(wish(1, "400"), wish(2, "-400"))
    assert (result.net, result.amounts) == (D(0), {1: D(400), 2: D(-400)})


def test_spot_shorts_reduce_the_longs_pro_rata() -> None:
    """SPEC, target: 600 and 300 long against 300 short leave 600, shared 2 : 1."""
    result = resolve(wish(1, "600"), wish(2, "300"), wish(3, "-300"), policy=Policy.SPOT)
    assert result.net == D(600)
    assert result.amounts == {1: D(400), 2: D(200), 3: D(0)}


@pytest.mark.parametrize("rule", list(ConflictRule))
def test_a_negative_net_is_nothing_in_spot(rule: ConflictRule) -> None:
    """SPEC, target: under the spot policy a negative net becomes 0."""
    result = resolve(wish(1, "-600"), wish(2, "300", opened=5), rule=rule, policy=Policy.SPOT)
    assert (result.net, result.amounts) == (D(0), {1: D(0), 2: D(0)})


def test_a_single_short_is_nothing_in_spot() -> None:
    """SPEC, target: also without a conflict."""
    result = resolve(wish(1, "-600"), policy=Policy.SPOT)
    assert (result.kind, result.net, result.amounts) == (None, D(0), {1: D(0)})


def test_the_largest_wish_counts_alone_by_size_not_by_sign() -> None:
    """CON-2, largest: a short of 900 beats a long of 800."""
    result = resolve(wish(1, "800"), wish(2, "-900"), rule=LARGEST)
    assert (result.net, result.amounts) == (D(-900), {1: D(0), 2: D(-900)})
    assert result.winner is not None
    assert result.winner.follow_id == 2


def test_who_opened_first_counts_alone() -> None:
    """CON-2, first: and who never said when comes last."""
    assert resolve(wish(1, "800", opened=9), wish(2, "-10", opened=3), rule=FIRST).net == D(-10)
    assert resolve(wish(1, "800", opened=None), wish(2, "-10", opened=999), rule=FIRST).net == D(-10)


@pytest.mark.parametrize("rule", [LARGEST, FIRST])
@pytest.mark.parametrize(
    ("one", "other", "winner"),
    [
        ({"weight": "0.3", "place": 9}, {"weight": "0.2", "place": 1}, 1),  # the larger weight
        ({"place": 2}, {"place": 1}, 2),  # then the place in the list
        ({"place": 5}, {"place": 5}, 1),  # then the id
    ],
)
def test_ties_are_settled_in_a_stated_order(
    rule: ConflictRule, one: dict[str, object], other: dict[str, object], winner: int
) -> None:
    """CON-2: larger weight, then follow order, then id."""
    wishes = [wish(1, "500", **one), wish(2, "-500", **other)]  # type: ignore[arg-type]
    for given_order in (wishes, wishes[::-1]):
        result = resolve(*given_order, rule=rule)
        assert result.winner is not None
        assert result.winner.follow_id == winner


def test_an_override_rules_its_own_underlying_alone() -> None:
    """CON-2: per instrument."""
    wishes = [wish(1, "100"), wish(2, "-300")]
    more = [Wish(w.follow_id, "ETH", w.notional, w.weight, w.place) for w in wishes]
    results = conflicts_resolve(
        wishes=wishes + more, rule=COMBINE, policy=Policy.PERP, overrides={"ETH": LARGEST}
    )
    assert (results["BTC"].net, results["ETH"].net) == (D(-200), D(-300))
    assert (results["BTC"].rule, results["ETH"].rule) == (COMBINE, LARGEST)


def test_one_wish_is_no_conflict_and_no_wish_is_nothing() -> None:
    """CON-1: two or more."""
    assert resolve(wish(1, "100"), wish(2, "0")).kind is None
    assert conflicts_resolve(wishes=[wish(1, "0")], rule=COMBINE, policy=Policy.PERP) == {}
    assert conflict_kind(signed=[D(1), D(0)]) is None
    assert conflict_kind(signed=[D(-1), D(-2)]) is ConflictKind.OVERLAP
    assert conflict_kind(signed=[D(-1), D(2)]) is ConflictKind.OPPOSED


_wishes = st.lists(
    st.builds(
        Wish,
        follow_id=st.integers(1, 10),
        underlying=st.sampled_from(["BTC", "ETH"]),
        notional=st.decimals("-10000", "10000", places=4),
        weight=st.sampled_from([D("0.1"), D("0.5")]),
        place=st.integers(1, 3),
        opened_at=st.sampled_from([None, T0, T0 + timedelta(days=1)]),
    ),
    unique_by=lambda w: (w.follow_id, w.underlying),
)


@given(_wishes, st.sampled_from(list(ConflictRule)), st.sampled_from(list(Policy)), st.randoms())
def test_outcomes_depend_on_nothing_but_the_wishes(
    wishes: Sequence[Wish], rule: ConflictRule, policy: Policy, rng: random.Random
) -> None:
    """CON-2: any order of wishes, one outcome; spot never short; no trader gets more than it wished."""
    shuffled = list(wishes)
    rng.shuffle(shuffled)
    one = conflicts_resolve(wishes=wishes, rule=rule, policy=policy)
    other = conflicts_resolve(wishes=shuffled, rule=rule, policy=policy)
    wished = {(w.follow_id, w.underlying): w.notional for w in wishes}
    assert one.keys() == other.keys()
    for underlying, result in one.items():
        assert (result.net, result.amounts, result.kind) == (
            other[underlying].net,
            other[underlying].amounts,
            other[underlying].kind,
        )
        assert policy is Policy.PERP or (result.net >= 0 and min(result.amounts.values()) >= 0)
        assert abs(sum(result.amounts.values(), D(0)) - result.net) < D("1e-20")
        for follow_id, amount in result.amounts.items():
            assert amount * wished[follow_id, underlying] >= 0
            assert abs(amount) <= abs(wished[follow_id, underlying])
