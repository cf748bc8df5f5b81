"""Rows of a table as CSV, JSON or SQL, piece by piece, with nothing rounded (DAT-1).

Amounts are written with every digit they have, without exponent and without zeros at the end. Moments are UTC
in ISO 8601 with all six digits of the second and a Z. What is absent is an empty cell, ``null`` or ``NULL``.

CSV follows RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe in front of it, as
OWASP's page on CSV injection asks; numbers are never touched. JSON is one array with an object per line, and
amounts in it are strings, as in the API. SQL is plain ``CREATE TABLE`` and ``INSERT``, the same for SQLite
and PostgreSQL. Amounts are ``TEXT`` there, because SQLite keeps only fifteen digits of a number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from core.decimals import plain

Row = Sequence[Any]
INSERT_ROWS: Final = 500  # in one statement
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Kind(StrEnum):
    """What a column holds."""

    INTEGER = "integer"
    AMOUNT = "amount"
    TEXT = "text"
    MOMENT = "moment"
    FLAG = "flag"
    DATA = "data"  # lists and objects


class Ending(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSON = "json"
    SQL = "sql"


CONTENT_TYPES: Final[Mapping[Ending, str]] = {
    Ending.CSV: "text/csv; charset=utf-8",
    Ending.JSON: "application/json",
    Ending.SQL: "application/sql; charset=utf-8",
}
_SQL_TYPES: Final[Mapping[Kind, str]] = {
    Kind.INTEGER: "BIGINT",
    Kind.AMOUNT: "TEXT",
    Kind.TEXT: "TEXT",
    Kind.MOMENT: "TIMESTAMP WITH TIME ZONE",
    Kind.FLAG: "BOOLEAN",
    Kind.DATA: "TEXT",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, lower case and safe in SQL, and what it holds."""

    name: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Table:
    """What is written: a name, lower case and safe in SQL, its columns, and a line about it."""

    name: str
    columns: tuple[Column, ...]
    about: str


def moment_text(value: datetime) -> str:
    """Write a moment in UTC: 2026-01-31T23:59:59.000000Z.

    :raises ValueError: it has no zone, so nobody knows when it was
    """
    if value.tzinfo is None:
        msg = f"{value} has no zone"
        raise ValueError(msg)
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def table_write(*, table: Table, ending: Ending, rows: Iterable[Row]) -> Iterator[str]:
    """Return a table as text in pieces; only what one piece needs is held at a time."""
    return _WRITERS[ending](table, iter(rows))


def _text(kind: Kind, value: Any) -> str:
    """Return a value that is there as text, without quotes."""
    match kind:
        case Kind.AMOUNT:
            return plain(value)
        case Kind.MOMENT:
            return moment_text(value)
        case Kind.FLAG:
            return "true" if value else "false"
        case Kind.DATA:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


# ---------------------------------------------------------------- CSV
def _cell(kind: Kind, value: Any) -> str:
    if value is None:
        return ""
    text = _text(kind, value)
    return f"'{text}" if kind in {Kind.TEXT, Kind.DATA} and text.startswith(_FORMULA) else text


def _csv(table: Table, rows: Iterator[Row]) -> Iterator[str]:
    held = io.StringIO()
    writer = csv.writer(held)
    kinds = [column.kind for column in table.columns]
    writer.writerow([column.name for column in table.columns])
    for number, row in enumerate(rows, start=1):
        writer.writerow([_cell(kind, value) for kind, value in zip(kinds, row, strict=True)])
        if number % INSERT_ROWS == 0:
            yield held.getvalue()
            held.seek(0)
            held.truncate()
    yield held.getvalue()


# ---------------------------------------------------------------- JSON
def _json_value(kind: Kind, value: Any) -> Any:
    return value if value is None or kind in {Kind.INTEGER, Kind.FLAG, Kind.DATA} else _text(kind, value)


def _json(table: Table, rows: Iterator[Row]) -> Iterator[str]:
    columns = table.columns
    before = "[\n"
    for part in _batches(rows):
        objects = (
            json.dumps(
                {c.name: _json_value(c.kind, value) for c, value in zip(columns, row, strict=True)},
                ensure_ascii=False,
            )
            for row in part
        )
        yield before + ",\n".join(objects)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


# ---------------------------------------------------------------- SQL
def _sql_value(kind: Kind, value: Any) -> str:
    if value is None:
        return "NULL"
    text = _text(kind, value)
    if kind is Kind.FLAG:
        return text.upper()
    return text if kind is Kind.INTEGER else "'" + text.replace("'", "''") + "'"


def _sql_head(table: Table) -> str:
    columns = ",\n".join(f'  "{column.name}" {_SQL_TYPES[column.kind]}' for column in table.columns)
    amounts = [column.name for column in table.columns if column.kind is Kind.AMOUNT]
    numeric = ", ".join(f'ALTER COLUMN "{name}" TYPE NUMERIC USING "{name}"::NUMERIC' for name in amounts)
    said = [f"-- {table.about}", "-- Times are UTC. Amounts are TEXT, so that no database rounds them."]
    if amounts:
        said.append(f'-- In PostgreSQL they become numbers by: ALTER TABLE "{table.name}" {numeric};')
    return "\n".join([*said, "BEGIN;", f'CREATE TABLE "{table.name}" (\n{columns}\n);', ""])


def _sql(table: Table, rows: Iterator[Row]) -> Iterator[str]:
    kinds = [column.kind for column in table.columns]
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    yield _sql_head(table)
    for part in _batches(rows):
        values = (
            f"({', '.join(_sql_value(kind, value) for kind, value in zip(kinds, row, strict=True))})"
            for row in part
        )
        yield f'INSERT INTO "{table.name}" ({names}) VALUES\n' + ",\n".join(values) + ";\n"
    yield "COMMIT;\n"


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == INSERT_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


_WRITERS: Final[Mapping[Ending, Callable[[Table, Iterator[Row]], Iterator[str]]]] = {
    Ending.CSV: _csv,
    Ending.JSON: _json,
    Ending.SQL: _sql,
}
