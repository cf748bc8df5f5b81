"""Numbers as each language writes and reads them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.locales import ENGLISH, POLISH, Ambiguous, dollars, number_plain, number_text, shape_of

AMOUNTS = st.decimals(min_value=0, max_value=10**12, places=2)


def test_amounts_are_written_with_the_signs_of_the_language() -> None:
    """Narrow spaces and a comma in Polish, and the dollar behind a space that does not break."""
    amount = Decimal("1234567.5")
    assert dollars(number_text(amount, 2, shape=ENGLISH), shape=ENGLISH) == "$1,234,567.50"
    polish = "1\u202f234\u202f567,50\u00a0$"
    assert dollars(number_text(amount, 2, shape=POLISH), shape=POLISH) == polish


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("1,5", "1.5"), ("1.5", "1.5"), ("0,234", "0.234"), ("0.234", "0.234"), ("1 234,5", "1234.5"),
        ("1\u202f234,50", "1234.50"), ("1.234,56", "1234.56"), ("1,234.56", "1234.56"),
        ("1.234.567", "1234567"), ("1 234", "1234"), ("\u22121,5", "-1.5"), ("12345,678", "12345.678"),
        ("61,1250", "61.1250"), (" 7 ", "7"),
    ],
)  # fmt: skip
def test_polish_numbers_are_read(typed: str, read: str) -> None:
    """Comma and point are decimal signs; spaces or the other sign part thousands."""
    assert number_plain(typed, shape=POLISH) == read


@pytest.mark.parametrize("typed", ["1,234", "1.234", "61.125", "999,000", "-1,234"])
def test_what_could_mean_two_numbers_is_refused(typed: str) -> None:
    """A thousand for one reader, a fraction for another: never guessed."""
    with pytest.raises(Ambiguous):
        number_plain(typed, shape=POLISH)


@pytest.mark.parametrize("typed", ["", "abc", "1,2,3", "1.2.3", "12,34,567", "1,5 BTC"])
def test_no_number_comes_back_as_typed(typed: str) -> None:
    """So that the refusal shows it."""
    assert number_plain(typed, shape=POLISH) == typed


@given(AMOUNTS)
def test_what_is_written_is_read_again(amount: Decimal) -> None:
    """A number copied from the page into a field is the same number."""
    text = number_text(amount, 2, shape=POLISH)
    assert Decimal(number_plain(text, shape=POLISH)) == amount


def test_english_is_left_alone() -> None:
    """The English reading is Decimal's own."""
    assert number_plain("1,234", shape=ENGLISH) == "1,234"
    assert shape_of(language="en-gb") is ENGLISH
    assert shape_of(language="pl-PL") is POLISH
    assert shape_of(language="xx") is ENGLISH
