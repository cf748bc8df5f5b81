"""DOC-1: the example in docs/adding-an-exit-rule.md does what it says."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from positions.domain import exits
from positions.domain.exits import ExitPlan
from tests.unit.exits.test_rules import SHIPPED, opened

D = Decimal
PAGE = Path(__file__).resolve().parents[3] / "docs/adding-an-exit-rule.md"


@dataclass(frozen=True)
class Plan(ExitPlan):
    """The shipped rules with the one that the page adds."""

    break_even: Decimal | None = None


@pytest.mark.parametrize(
    ("sign", "price", "stop"),
    [(1, "103.99", "92"), (1, "104", "100"), (1, "120", "100"), (-1, "96.01", "108"), (-1, "96", "100")],
)
def test_the_example_lifts_the_stop_to_the_entry(sign: int, price: str, stop: str) -> None:
    """DOC-1: from a gain of 4 %, for either side, and it never loosens what is tighter."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    names: dict[str, Any] = dict(vars(exits))
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102  # our own page
    rule = names["_break_even"]
    plan = Plan(**{**asdict(SHIPPED), "take_profit": ()}, break_even=D("0.04"))
    state = opened(plan, sign=sign)
    assert rule(state, D(price)).stop_price == D(stop)
    tight = replace(state, stop_price=D(101) if sign > 0 else D(99))
    assert rule(tight, D(price)).stop_price == tight.stop_price
    assert rule(opened(Plan(**asdict(SHIPPED)), sign=sign), D(price)).stop_price == state.stop_price
