"""DAT-1: what a portfolio's exports hold, on which days, for whom; loaded by SQLite and by PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from core.errors import InputError
from engine import exports
from engine.decisions import DecisionNote, decision_store
from engine.domain.export_format import Ending
from engine.exports import SUBJECTS, export_open, moment_read
from execution.orders import order_submit
from positions.booking import fill_book
from positions.models import EquityPoint
from tests.integration.money.desk import NOW, Desk, desk_open

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def desk(alice: User) -> Desk:
    """Alice's desk: 0.01 BTC bought at 100,000 for two traders, half of it sold at 101,000 later."""
    opened = desk_open()
    opened.mark("100000")
    first, second = (follow.pk for follow in opened.follows)
    bought = opened.order("BUY", "0.01", "100000", slices={first: "0.006", second: "0.004"})
    order_submit(order_id=bought.pk, now=opened.now)
    fill_book(order_id=bought.pk, fill=opened.fill(bought, "0.01", "100000", "0.45"), now=opened.later())
    sold = opened.order("SELL", "0.005", "101000", slices={first: "-0.005"}, reduce_only=True)
    order_submit(order_id=sold.pk, now=opened.now)
    opened.later(7200)
    fill_book(order_id=sold.pk, fill=opened.fill(sold, "0.005", "101000", "0.2"), now=opened.now)
    note = DecisionNote(
        kind="copied", text="=1+1; DROP TABLE", reason="O'Hara's\nreason", underlying="BTC",
        follow_ids=[second, first], data={"before": "0", "after": "0.01"},
    )  # fmt: skip
    decision_store(portfolio=opened.portfolio, note=note, now=opened.now)
    for hour in range(5):
        EquityPoint.objects.create(
            portfolio=opened.portfolio, at=NOW + timedelta(hours=hour), world_at=NOW + timedelta(hours=hour),
            equity=D("10000.00000001") + hour, unit_value=D("1.000000000001"),
        )  # fmt: skip
    return opened


def text_of(desk: Desk, what: str, ending: str, **span: datetime) -> str:
    """Return an export as text."""
    opened = export_open(portfolio=desk.portfolio, what=what, ending=ending, now=desk.now, **span)
    return "".join(opened.chunks)


def rows_of(desk: Desk, what: str, **span: datetime) -> list[dict[str, Any]]:
    """Return an export's rows."""
    rows: list[dict[str, Any]] = json.loads(text_of(desk, what, "json", **span))
    return rows


def test_fills_are_exact(desk: Desk) -> None:
    """DAT-1: every execution with its order, price, fee, what it realized, and when."""
    bought, sold = rows_of(desk, "fills")
    names = ("instrument", "side", "quantity", "price", "fee", "realized_pnl", "purpose")
    assert [bought[name] for name in names] == ["BTC", "BUY", "0.01", "100000", "0.45", "0", "entry"]
    assert [sold[name] for name in names] == ["BTC", "SELL", "0.005", "101000", "0.2", "5", "close"]
    assert bought["at"] == "2025-11-03T12:00:01.000000Z"


def test_positions_and_slices_add_up(desk: Desk) -> None:
    """DAT-1: the position is open; its slices sum to it."""
    (position,) = rows_of(desk, "positions")
    slices = rows_of(desk, "slices")
    assert (position["quantity"], position["cost"], position["realized_pnl"]) == ("0.005", "500", "5")
    assert [(row["trader"], row["quantity"]) for row in slices] == [("T1", "0.001"), ("T2", "0.004")]
    for column in ("quantity", "cost", "fees", "funding"):
        assert sum(D(row[column]) for row in slices) == D(position[column])


def test_the_ledger_is_the_cash(desk: Desk) -> None:
    """ALL-5: the amounts of the exported ledger sum to the cash."""
    assert sum(D(row["amount"]) for row in rows_of(desk, "ledger")) == desk.account.cash


def test_orders_equity_and_decisions(desk: Desk) -> None:
    """DAT-1: states and reasons, all digits of the curve, the traders of a decision."""
    assert [(row["status"], row["filled_quantity"]) for row in rows_of(desk, "orders")] == [
        ("filled", "0.01"),
        ("filled", "0.005"),
    ]
    assert rows_of(desk, "equity")[0]["equity"] == "10000.00000001"
    (decision,) = rows_of(desk, "decisions")
    assert decision["follow_ids"] == sorted(follow.pk for follow in desk.follows)
    assert decision["traders"] == ["T1", "T2"]
    assert decision["data"] == {"before": "0", "after": "0.01"}
    (row,) = csv.DictReader(io.StringIO(text_of(desk, "decisions", "csv"), newline=""))
    assert row["text"] == "'=1+1; DROP TABLE"


def test_days_and_moments(desk: Desk) -> None:
    """DAT-1: from is included, to as a moment is not, to as a day is."""
    since, until = NOW + timedelta(hours=1), NOW + timedelta(hours=3)
    assert [row["equity"] for row in rows_of(desk, "equity", since=since, until=until)] == [
        "10001.00000001",
        "10002.00000001",
    ]
    day = moment_read("2025-11-03", field="to", day_after=True)
    assert day == datetime(2025, 11, 4, tzinfo=UTC)
    assert len(rows_of(desk, "equity", until=day)) == 5
    assert rows_of(desk, "equity", since=day) == []
    for text in ("yesterday", "2025-13-01", "2025-11-03T12:00:00", "9999-12-31"):
        with pytest.raises(InputError):
            moment_read(text, field="from", day_after=True)


@pytest.mark.parametrize(
    ("what", "ending", "field"),
    [("orders", "xls", "format"), ("secrets", "csv", "what"), ("fills", "", "format")],
)
def test_what_there_is_not_is_refused(desk: Desk, what: str, ending: str, field: str) -> None:
    """DAT-1: the refusal names what is wrong."""
    with pytest.raises(InputError) as refusal:
        export_open(portfolio=desk.portfolio, what=what, ending=ending, now=NOW)
    assert refusal.value.field == field
    with pytest.raises(InputError, match="ends before it begins"):
        export_open(portfolio=desk.portfolio, what="fills", ending="csv", now=NOW, since=NOW, until=NOW)


def test_batches_lose_and_double_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """DAT-1: five rows in batches of two; what comes meanwhile is not in it."""
    monkeypatch.setattr(exports, "BATCH_ROWS", 2)
    with CaptureQueriesContext(connection) as queries:
        assert [row["equity"][:5] for row in rows_of(desk, "equity")] == [str(10000 + n) for n in range(5)]
    assert len(queries) == 4
    assert all("LIMIT 2" in query["sql"] for query in queries.captured_queries[1:])


def test_another_portfolios_rows_are_not_in_it(desk: Desk) -> None:
    """SEC-1: every subject of a second, empty portfolio holds only its own deposit."""
    other = desk_open(name="Other")
    for what in SUBJECTS:
        found = json.loads(
            "".join(export_open(portfolio=other.portfolio, what=what, ending="json", now=NOW).chunks)
        )
        assert len(found) == (1 if what == "ledger" else 0), what
        assert rows_of(desk, what), what


@pytest.fixture
def own_schema() -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own to this run's PostgreSQL, in a schema that is dropped again."""
    settings = connection.settings_dict
    with psycopg.connect(
        dbname=settings["NAME"], user=settings["USER"], password=settings["PASSWORD"], host=settings["HOST"],
        port=settings["PORT"] or None, autocommit=True,
    ) as opened:  # fmt: skip
        opened.execute("DROP SCHEMA IF EXISTS exported CASCADE")
        opened.execute("CREATE SCHEMA exported")
        opened.execute("SET search_path TO exported")
        yield opened
        opened.execute("DROP SCHEMA exported CASCADE")


def test_sql_loads_into_postgresql_and_sqlite(desk: Desk, own_schema: psycopg.Connection[Any]) -> None:
    """DAT-1: one file for both, the same rows; the line it suggests makes numbers of texts."""
    with sqlite3.connect(":memory:") as lite:
        for what, subject in SUBJECTS.items():
            text = text_of(desk, what, "sql")
            own_schema.execute(text.encode())
            lite.executescript(text)
            count = f"SELECT count(*) FROM {what}"  # noqa: S608 - names of this module
            assert lite.execute(count).fetchone() == own_schema.execute(count.encode()).fetchone() != (0,)
            assert subject.table.columns[0].name == "id"
    lite.close()
    fills = own_schema.execute("SELECT price, at FROM fills ORDER BY id").fetchall()
    assert fills[0] == ("100000", datetime(2025, 11, 3, 12, 0, 1, tzinfo=UTC))
    (told,) = [line for line in text_of(desk, "ledger", "sql").splitlines() if "ALTER TABLE" in line]
    own_schema.execute(told.split(": ", 1)[1].encode())
    assert own_schema.execute("SELECT sum(amount) FROM ledger").fetchone() == (desk.account.cash,)


# ---------------------------------------------------------------- doors
def address(desk: Desk, rest: str) -> str:
    """Return where an export is fetched."""
    return f"/api/v1/portfolios/{desk.pk}/export/{rest}"


@pytest.mark.parametrize("ending", list(Ending))
def test_a_download(desk: Desk, alice: User, client_of: Callable[[Any], Client], ending: Ending) -> None:
    """API-1: a file with a name, whatever the client accepts; the same text as the service's."""
    answer = client_of(alice).get(address(desk, f"fills.{ending}"), headers={"Accept": "text/html"})
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith(f'attachment; filename="portfolio-{desk.pk}-fills-')
    assert answer.getvalue().decode() == text_of(desk, "fills", ending)


def test_a_download_under_asgi_comes_piece_by_piece(desk: Desk, alice: User) -> None:
    """DAT-1: under the real server's protocol nothing is read ahead."""

    async def fetched() -> list[bytes]:
        client = AsyncClient()
        await client.aforce_login(alice)
        answer = await client.get(address(desk, "equity.sql"))
        assert answer.is_async
        return [piece async for piece in answer.streaming_content]

    pieces = async_to_sync(fetched)()
    assert len(pieces) == 3
    assert b"".join(pieces).decode() == text_of(desk, "equity", "sql")


def test_days_in_the_address(desk: Desk, alice: User, client_of: Callable[[Any], Client]) -> None:
    """DAT-1: from and to are days or moments; nonsense is said beside its name."""
    client = client_of(alice)
    chosen = client.get(address(desk, "equity.json?from=2025-11-03T13:00:00Z&to=2025-11-03"))
    assert len(json.loads(chosen.getvalue())) == 4
    for query, field in [("from=x", "from"), ("from=2025-11-05&to=2025-11-03", "to")]:
        refused = client.get(address(desk, f"equity.json?{query}"))
        assert (refused.status_code, list(refused.json()["errors"])) == (400, [field])
    for rest in ("equity.xls", "secrets.csv"):
        assert client.get(address(desk, rest)).status_code == 400


def test_charlie_gets_nothing(desk: Desk, charlie: User, client_of: Callable[[Any], Client]) -> None:
    """SEC-1: another's export is not found, and nobody's is refused."""
    for what in SUBJECTS:
        refused = client_of(charlie).get(address(desk, f"{what}.csv"))
        assert refused.status_code == 404
        assert b"BTC" not in refused.content
    assert Client().get(address(desk, "fills.csv")).status_code in {401, 403}


def test_the_page_offers_every_subject(desk: Desk, alice: User, client_of: Callable[[Any], Client]) -> None:
    """DAT-1: each subject in each format, for the chosen days."""
    client = client_of(alice)
    shown = client.get(f"/portfolios/{desk.pk}/data/?since=2025-11-01&until=2025-11-03").content.decode()
    for what in SUBJECTS:
        for ending in Ending:
            assert f'href="{address(desk, what)}.{ending}?from=2025-11-01&amp;to=2025-11-03"' in shown
    odd = client.get(f"/portfolios/{desk.pk}/data/?since=2025-11-03&until=2025-11-01").content.decode()
    assert "must not be before" in odd
    assert f'href="{address(desk, "fills")}.csv"' in odd


def test_the_command_writes_the_same(desk: Desk, tmp_path: Path) -> None:
    """CLI-1: to a file or to the terminal."""
    path, shown = tmp_path / "fills.csv", io.StringIO()
    call_command("portfolio_export", "fills.csv", "--output", str(path), stdout=shown)
    assert path.read_bytes().decode() == text_of(desk, "fills", "csv")
    assert "Written" in shown.getvalue()
    printed = io.StringIO()
    call_command("portfolio_export", "equity.json", "--from", "2025-11-03T15:00:00Z", stdout=printed)
    assert len(json.loads(printed.getvalue())) == 2
    with pytest.raises(CommandError, match="no export"):
        call_command("portfolio_export", "nothing.csv")
