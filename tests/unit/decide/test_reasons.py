"""What people read about a decision, and what makes two decisions the same."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from allocation.domain.limits import PROFILES
from core.types import ConflictRule
from engine.domain import reasons
from engine.domain.copy import copy_plan
from tests.unit.decide.scenario import book, follow, inputs

D = Decimal


def test_amounts_and_names_are_written_for_people() -> None:
    """BEY-3: a reason a person can read."""
    assert reasons.percent(D("0.142")) == "14.2 %"
    assert reasons.size(D("0.123456789012")) == "0.12345679"
    assert reasons.join([]) == ""
    assert reasons.join(["A"]) == "A"
    assert reasons.join(["A", "B", "C", "D"]) == "A, B, C and D"
    assert reasons.join(["A", "B", "C", "D", "E"]) == "A, B, C and 2 others"
    assert reasons.clip("abcdef", 4) == "abc…"
    assert reasons.clip("abcd", 4) == "abcd"


def test_ten_long_names_still_fit() -> None:
    """BEY-3: texts and reasons have the room the table gives them."""
    crowd = [follow(i, book(10000, {"ETH": 1}), name=f"{i}" * 80) for i in range(1, 10)]
    plan = copy_plan(inputs=inputs(*crowd))
    (decision,) = plan.decisions
    assert len(decision.text) <= 200
    assert len(decision.reason) <= 400
    assert len(plan.orders[0].reason) <= 300
    assert len(decision.follow_ids) == 9


@pytest.mark.parametrize(
    "change",
    [
        {"rule": ConflictRule.FIRST},
        {"limits": PROFILES["aggressive"]},
        {"follows": (follow(1, book(10000, {"ETH": "-1.1"})),)},
        {"follows": (follow(1, book(10000, {"ETH": -1})), follow(2, book(10000, {})))},
    ],
    ids=["rule", "limits", "quantity", "weight"],
)
def test_what_was_decided_on_tells_decisions_apart(change: dict[str, Any]) -> None:
    """BEY-3: another rule, limit, quantity or weight is another decision, the same again is not."""
    given = inputs(follow(1, book(10000, {"ETH": -1})))
    before, same, after = (
        copy_plan(inputs=one).decisions[0].fingerprint
        for one in (given, replace(given, equity=D(20000)), replace(given, **change))
    )
    assert before == same
    assert before != after
