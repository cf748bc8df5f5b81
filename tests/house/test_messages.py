"""Every text is said in every language, and the compiled catalogues are those of the sources."""

from __future__ import annotations

import json
import re
from itertools import count
from pathlib import Path

import pytest

from core.locales import POLISH
from core.phrases import HOLE, Phrasebook
from scripts import messages

ROOT = Path(__file__).resolve().parents[2]


def test_catalogues_are_whole_and_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing missing, fuzzy, left over, with other placeholders, or stale: `make messages` says what."""
    assert messages.main(["--check"]) == 0, capsys.readouterr().out


def test_every_sentence_finds_its_own_translation() -> None:
    """With values in its places no sentence is taken for another one's, so none is said wrongly."""
    entries = json.loads((ROOT / "locale" / "pl" / "phrases.json").read_text())
    book = Phrasebook(entries=entries, shape=POLISH)
    wrong = []
    for english, polish in entries.items():
        numbers = count(1)
        values = {name: f"Zq{next(numbers)}zq" for name in HOLE.findall(english)}
        written, wanted = (HOLE.sub(lambda hole: values[hole[1]], text) for text in (english, polish))  # noqa: B023
        if book.say(written) != wanted:
            wrong.append((english, book.say(written)))
    assert wrong == []


def test_no_translation_is_the_english_text() -> None:
    """A sentence of several words that is the same in both languages was forgotten."""
    for domain in ("django", "djangojs", "phrases"):
        same = [
            message.id
            for message in messages.catalogue_read("pl", domain)
            if isinstance(message.id, str) and message.id == message.string
            and re.search(r"[a-z]{3,} [a-z]{3,} ", re.sub(r"%\(\w+\)s|\{\w+\}|<[^>]+>", "", message.id))
        ]  # fmt: skip
        assert same == [], domain


def test_a_missing_form_and_another_placeholder_are_found() -> None:
    """The check itself fails where it should."""
    catalogue = messages.Catalog(locale="pl")
    catalogue.add("{0} open", "{1} otwarte")
    catalogue.add(("position", "positions"), ("pozycja", "pozycje"))
    catalogue.add("Close", "")
    assert [text.split(":")[1].strip() for text in messages.problems_of(catalogue, "phrases")] == [
        "other placeholders",
        "needs three forms",
        "missing",
    ]


def test_texts_of_scripts_are_found_in_both_branches() -> None:
    """A condition chooses between two texts; both are collected, what it compares with is not."""
    found = messages.messages_found()["djangojs"]
    assert "Opposed" in found
    assert "Overlap" in found
    assert "opposed" not in found
    assert ("position", "positions") in found
