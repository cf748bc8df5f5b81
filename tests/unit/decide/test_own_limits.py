"""RSK-1: numbers of one's own: nonsense is refused by field, daring is warned about."""

from __future__ import annotations

import re
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest

from allocation.domain.breakers import BreakerThresholds
from allocation.domain.limits import PROFILES
from allocation.domain.own_limits import FIELDS, own_problems, own_warnings

D = Decimal


def numbers(profile: str = "balanced", **more: Any) -> dict[str, Any]:
    """Return a profile's numbers with the shipped breakers, and some of them changed."""
    limits = asdict(PROFILES[profile])
    assert limits.pop("max_live") is None, "a profile knows nothing of live trading"
    return {**limits, **asdict(BreakerThresholds()), **more}


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_the_shipped_profiles_make_sense(profile: str) -> None:
    """RSK-1: every number named, none refused; only the aggressive one is daring."""
    assert set(numbers(profile)) == set(FIELDS)
    assert own_problems(values=numbers(profile)) == {}
    daring = [text.split(" at ")[0] for text in own_warnings(values=numbers(profile))]
    expected = ["The largest position", "Total exposure", "The three largest that move together"]
    assert daring == (expected if profile == "aggressive" else [])


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"max_position": D(0)}, "max_position", "above 0 % and at most 200 %"),
        ({"max_position": D("2.01")}, "max_position", "above 0 % and at most 200 %"),
        ({"max_gross": D("NaN")}, "max_gross", "above 0 % and at most 200 %"),
        ({"max_position": D("0.12345")}, "max_position", "to 0.01 %"),
        ({"max_positions": 0}, "max_positions", "a whole number from 1 to 200"),
        ({"max_open_orders": 201}, "max_open_orders", "a whole number from 1 to 200"),
        ({"daily_loss": D("1.2")}, "daily_loss", "at most 100 %"),
        ({"losses_in_a_row": 0}, "losses_in_a_row", "a whole number from 1 to 100"),
        ({"max_position": D("1.5")}, "max_position", "at 150 % is more than total exposure at 100 % allows"),
        ({"max_asset_weight": D("1.5")}, "max_asset_weight", "it could never be reached"),
        ({"max_correlated": D("1.1")}, "max_correlated", "more than total exposure at 100 % allows"),
        ({"max_correlated": D("0.2")}, "max_correlated", "single position may be 25 %, .* only 20 %"),
        ({"emergency_loss": D("0.04")}, "emergency_loss", "at a loss of 4 %, before entries stop at 5 %"),
    ],
)
def test_numbers_that_make_no_sense_name_their_field(
    change: dict[str, Any], field: str, message: str
) -> None:
    """RSK-1: one problem, with what is allowed."""
    problems = own_problems(values=numbers(**change))
    assert list(problems) == [field]
    assert re.search(message, problems[field]), problems


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (
            {"max_position": D("0.4")},
            "The largest position at 40 % is daring: one position that falls by a fifth costs 8 % of equity.",
        ),
        (
            {"max_gross": D("1.5")},
            (
                "Total exposure at 150 % is daring: borrowed money can lose more than there is, and "
                "positions can be liquidated."
            ),
        ),
        (
            {"drawdown": D("0.5")},
            "The drawdown at 50 % is daring: after it, equity must grow by 100 % to be back.",
        ),
        (
            {"losses_in_a_row": 20},
            "Losses in a row at 20 is daring: a streak that long is hardly chance.",
        ),
        (
            {"max_positions": 3},
            "3 positions of at most 25 % are 75 %: the total exposure of 100 % is never reached.",
        ),
        ({"max_open_orders": 1}, "With 1 open orders at a time, entries wait for each other."),
    ],
)
def test_daring_numbers_are_warned_about(change: dict[str, Any], warning: str) -> None:
    """RSK-1: allowed, with a sentence for the form."""
    values = numbers(**change)
    assert own_problems(values=values) == {}
    assert own_warnings(values=values) == [warning]
