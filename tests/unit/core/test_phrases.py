"""Sentences recognised by their template and said in another language."""

from __future__ import annotations

import pytest

from core.locales import POLISH
from core.phrases import Phrasebook

BOOK = Phrasebook(
    entries={
        "Long": "Długa",
        "long": "długa",
        " and ": " i ",
        "{0} needed, {1} free": "potrzeba {0}, wolne {1}",
        "Not enough free capital: {0}": "Za mało wolnego kapitału: {0}",
        "{0} wants {1} more of {2}": "{0} chce {1} więcej {2}",
        "{0} is {1}; it must be {2}": "{0} to {1}; musi to być {2}",
        "All of it is closed.": "Wszystko zamknięte.",
        "Nothing was sent": "Nic nie wysłano",
        "{0} at {1}": "{0} po {1}",
    },
    shape=POLISH,
)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Long", "Długa"),
        ("1,234.50 USDC needed, 12.5 free", "potrzeba 1\u202f234,50 USDC, wolne 12,5"),
        ("Not enough free capital: $1,000.00 needed, $0.50 free",
         "Za mało wolnego kapitału: potrzeba 1\u202f000,00\u00a0$, wolne 0,50\u00a0$"),
        ("nothing was sent", "nic nie wysłano"),
        ("Nothing was sent.", "Nic nie wysłano."),
        ("All of it is closed. Nothing was sent.", "Wszystko zamknięte. Nic nie wysłano."),
        ("Long and nothing was sent", "Długa i nic nie wysłano"),
        ("Nothing was sent; 2 needed, 1 free", "Nic nie wysłano; potrzeba 2, wolne 1"),
        ("BTC at 21 Nov 14:05", "BTC po 21 lis 14:05"),
        ("side is long; it must be 12%", "side to długa; musi to być 12%"),
    ],
)  # fmt: skip
def test_a_sentence_is_said_with_its_values(written: str, said: str) -> None:
    """Values are said too: sides, amounts, dates, and sentences within."""
    assert BOOK.say(written) == said


@pytest.mark.parametrize("written", ["My own name for it", "BTC", "DeepSeek 3.1 turbo"])
def test_what_is_not_known_stays(written: str) -> None:
    """Names are nobody's to translate."""
    assert BOOK.say(written) == written


def test_the_more_literal_template_wins() -> None:
    """A short template does not swallow a longer sentence."""
    assert BOOK.say("Claude wants 5 more of BTC") == "Claude chce 5 więcej BTC"
