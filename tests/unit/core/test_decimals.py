"""Exact arithmetic: steps, significant digits and splits, as worked examples and as properties."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.decimals import part_of, plain, split_pro_rata, to_significant, to_step

D = Decimal


@pytest.mark.parametrize(
    ("value", "step", "expected"),
    [("1.23456", "0.01", "1.23"), ("-1.23456", "0.01", "-1.23"), ("0.009", "0.01", "0"), ("127", "5", "125")],
)
def test_a_quantity_is_rounded_toward_zero(value: str, step: str, expected: str) -> None:
    assert to_step(D(value), D(step)) == D(expected)


@pytest.mark.parametrize(
    ("price", "places", "up", "expected"),
    [
        (
            "107315.4",
            1,
            False,
            "107315",
        ),  # five digits would cut an integer part; an integer price is always allowed
        ("107315.4", 1, True, "107316"),
        ("2.64467", 4, False, "2.6446"),
        ("2.64467", 4, True, "2.6447"),
        ("0.00205491", 6, True, "0.002055"),
        ("193.456", 4, False, "193.45"),
    ],
)
def test_a_price_keeps_five_significant_digits(price: str, places: int, up: bool, expected: str) -> None:
    assert to_significant(D(price), 5, places=places, up=up) == D(expected)


def test_a_price_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero, got 0"):
        to_significant(D(0), 5, places=2, up=True)


def test_what_does_not_divide_goes_to_the_largest() -> None:
    assert split_pro_rata(D("10"), [D(1), D(2), D(1)], step=D(1)) == [D(2), D(6), D(2)]


def test_a_part_is_rounded_half_to_even_and_a_whole_is_not_rounded() -> None:
    assert part_of(amount=D("0.00000003"), part=D(1), whole=D(2)) == D("0.00000002")
    assert part_of(amount=D("0.00000001"), part=D(1), whole=D(2)) == 0
    assert part_of(amount=D("7.123456789"), part=D(2), whole=D(2)) == D("7.123456789")


def test_full_columns_are_split_without_rounding_on_the_way() -> None:
    """36-digit quantities by 28-digit amounts, beyond the ambient context's 28 digits."""
    total, weight = D("987654321098765.12345678"), D("123456789012.123456789012")
    assert split_pro_rata(total, [weight, weight], step=D("0.00000001")) == [total / 2, total / 2]
    assert split_pro_rata(2 * weight, [weight, weight], step=D("0.01")) == [weight, weight]


def test_nothing_splits_over_nothing_but_something_does_not() -> None:
    assert split_pro_rata(D(0), [D(0), D(0)], step=D(1)) == [D(0), D(0)]
    with pytest.raises(ValueError, match="cannot split 1"):
        split_pro_rata(D(1), [D(1), D(-1)], step=D(1))


amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=6)
parts = st.lists(st.decimals(min_value=0, max_value=10**6, places=4), min_size=1, max_size=12)


@given(total=amounts, weights=parts)
def test_a_split_loses_nothing(total: Decimal, weights: list[Decimal]) -> None:
    assume(sum(weights) > 0)
    shares = split_pro_rata(total, weights, step=D("0.0001"))
    assert sum(shares) == total


@given(value=amounts)
def test_plain_writes_what_it_was_given(value: Decimal) -> None:
    text = plain(value)
    assert D(text) == value
    assert "E" not in text
