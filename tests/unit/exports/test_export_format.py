"""DAT-1: CSV, JSON and SQL say exactly what is kept, whatever is in it."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.export_format import INSERT_ROWS, Column, Ending, Kind, Table, moment_text, table_write

TABLE = Table(
    "things",
    (
        Column("id", Kind.INTEGER),
        Column("amount", Kind.AMOUNT),
        Column("text", Kind.TEXT),
        Column("at", Kind.MOMENT),
        Column("flag", Kind.FLAG),
        Column("data", Kind.DATA),
    ),
    "Things.",
)
AT = datetime(2026, 1, 31, 23, 59, 59, 1, tzinfo=UTC)
ROW = (7, Decimal("-0.100000000000"), 'O\'Hara, "Żółć"', AT, True, ["a", {"b": "1.0"}])
EMPTY = (8, None, None, None, None, None)


def written(ending: Ending, *rows: Any) -> str:
    """Return rows of the table as text."""
    return "".join(table_write(table=TABLE, ending=ending, rows=rows))


def test_csv_is_exact() -> None:
    """DAT-1: a negative amount is a number, not a formula; what is absent is empty."""
    assert written(Ending.CSV, ROW, EMPTY) == (
        "id,amount,text,at,flag,data\r\n"
        '7,-0.1,"O\'Hara, ""Żółć""",2026-01-31T23:59:59.000001Z,true,"[""a"",{""b"":""1.0""}]"\r\n'
        "8,,,,,\r\n"
    )


@pytest.mark.parametrize(
    "first", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
)
def test_a_text_is_no_formula(first: str) -> None:
    """DAT-1: what a spreadsheet would calculate gets an apostrophe; the rest is left alone."""
    row = (1, Decimal(1), f'{first}HYPERLINK("http://x")', AT, False, [])
    (_, cells) = csv.reader(io.StringIO(written(Ending.CSV, row), newline=""))
    assert cells[2] == f'\'{first}HYPERLINK("http://x")'
    (_, plain) = csv.reader(
        io.StringIO(written(Ending.CSV, (1, Decimal(-1), f"a{first}b", AT, False, [])), newline="")
    )
    assert plain[1:3] == ["-1", f"a{first}b"]


def test_json_is_an_array_of_objects() -> None:
    """DAT-1: amounts are strings, lists stay lists, nothing is null that is known."""
    assert json.loads(written(Ending.JSON, ROW, EMPTY)) == [
        {
            "id": 7,
            "amount": "-0.1",
            "text": 'O\'Hara, "Żółć"',
            "at": "2026-01-31T23:59:59.000001Z",
            "flag": True,
            "data": ["a", {"b": "1.0"}],
        },
        {"id": 8, "amount": None, "text": None, "at": None, "flag": None, "data": None},
    ]


@pytest.mark.parametrize("ending", list(Ending))
@pytest.mark.parametrize("count", [0, 1, INSERT_ROWS, INSERT_ROWS + 1])
def test_any_number_of_rows(ending: Ending, count: int) -> None:
    """DAT-1: none, one, a full piece, one more: every row once, in order."""
    text = written(ending, *[(number, *ROW[1:]) for number in range(count)])
    match ending:
        case Ending.CSV:
            found = [int(row["id"]) for row in csv.DictReader(io.StringIO(text, newline=""))]
        case Ending.JSON:
            found = [row["id"] for row in json.loads(text)]
        case Ending.SQL:
            found = [row[0] for row in loaded(text)]
    assert found == list(range(count))


def loaded(text: str) -> list[tuple[Any, ...]]:
    """Return what SQLite has after running the statements."""
    with sqlite3.connect(":memory:") as database:
        database.executescript(text)
        rows = database.execute("SELECT * FROM things ORDER BY id").fetchall()
    database.close()
    return rows


@given(
    text=st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    amount=st.decimals(
        allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20
    ),
)
def test_sqlite_gets_back_what_was_written(text: str, amount: Decimal) -> None:
    """DAT-1: any text and any amount come back as they were: no quote breaks out, no digit is lost."""
    (row,) = loaded(written(Ending.SQL, (1, amount, text, AT, True, [text])))
    assert Decimal(row[1]) == amount
    assert row[2] == text
    assert row[3:5] == ("2026-01-31T23:59:59.000001Z", 1)
    assert json.loads(row[5]) == [text]


@given(text=st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_csv_and_json_get_back_what_was_written(text: str) -> None:
    """DAT-1: apart from the apostrophe before a formula, a text comes back as it was."""
    row = (1, Decimal(1), text, AT, True, None)
    (_, cells) = csv.reader(io.StringIO(written(Ending.CSV, row), newline=""))
    assert cells[2] in {text, f"'{text}"}
    assert json.loads(written(Ending.JSON, row))[0]["text"] == text


def test_times_are_utc() -> None:
    """DAT-1: another zone is turned into UTC; a time without a zone is refused, not guessed."""
    there = timezone(timedelta(hours=2))
    assert moment_text(datetime(2026, 1, 1, 1, tzinfo=there)) == "2025-12-31T23:00:00.000000Z"
    with pytest.raises(ValueError, match="no zone"):
        moment_text(datetime(2026, 1, 1, 1))  # noqa: DTZ001 - the point of this test
