"""CLI-1: the command-line tools show what the page shows and act through commands; a finding is status 1."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry, Portfolio
from core.decimals import plain
from engine.management import terminal
from engine.models import Command
from execution.models import Fill, Order
from tests.integration.commands.conftest import Floor


@pytest.fixture
def clocked(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> Floor:
    """The tools' clock is the replay's, and waiting lets the market go on."""
    monkeypatch.setattr(terminal, "utc_now", lambda: floor.now)
    monkeypatch.setattr("engine.selectors.utc_now", lambda: floor.now)
    monkeypatch.setattr("engine.management.commands.order_manager.utc_now", lambda: floor.now)
    monkeypatch.setattr(terminal.time, "sleep", lambda _: floor.live(0.5))
    return floor


def out(*arguments: str) -> str:
    told = StringIO()
    call_command(*arguments, stdout=told)
    return told.getvalue()


def failing(*arguments: str) -> tuple[str, CommandError]:
    told = StringIO()
    with pytest.raises(CommandError) as failed:
        call_command(*arguments, stdout=told)
    return told.getvalue(), failed.value


def test_what_is_held_traded_and_worth(clocked: Floor) -> None:
    """CLI-1: readable tables and one JSON document each."""
    position = clocked.position()
    table = out("position_status")
    assert "Two (number" in table
    assert f"{position.pk}" in table
    [document] = json.loads(out("position_status", "--json"))
    shown = {row["code"]: row["quantity"] for row in document["positions"]}
    assert shown[position.instrument_id] == plain(position.quantity)

    assert "fills: realized $" in out("trade_history")
    [history] = json.loads(out("trade_history", "--json", "--limit", "500"))
    assert len(history["fills"]) == Fill.objects.count()
    assert out("trade_history", "--since", "2026-12-31").strip().endswith("Nothing was traded.")

    for part, word in (("summary", "equity $"), ("traders", "Grok"), ("pairs", "realized net $")):
        assert word in out("portfolio_dashboard", part)
    [pairs] = json.loads(out("portfolio_dashboard", "pairs", "--json"))
    assert {row["instrument"] for row in pairs["rows"]} >= {position.underlying}
    assert "No order is working." in out("order_manager", "list")
    assert "filled" in out("order_manager", "list", "--all")


def test_findings_are_told_by_the_exit_status(clocked: Floor) -> None:
    """CLI-1: a stale price, a halted portfolio, an unknown order: status 1."""
    Portfolio.objects.update(status="halted", status_reason="Books differ")
    table, failed = failing("portfolio_dashboard", "summary")
    assert (failed.returncode, str(failed)) == (1, "Two: halted: Books differ.")
    assert "equity $" in table
    order = Order.objects.first()
    Order.objects.filter(pk=order.pk).update(status="unknown")
    _, failed = failing("order_manager", "list", "--json")
    assert (failed.returncode, str(failed)) == (1, f"nobody knows what became of order {order.pk}.")
    Order.objects.filter(pk=order.pk).update(status="filled")
    clocked.arena.wall_at += terminal.timedelta(seconds=60)
    _, failed = failing("position_status")
    assert failed.returncode == 1
    assert "has no fresh price" in str(failed)
    _, failed = failing("position_status", "--portfolio", "999999")
    assert (failed.returncode, str(failed)) == (2, "There is no portfolio with the number 999999.")


def test_a_position_is_closed_from_the_terminal(clocked: Floor) -> None:
    """CLI-1, SEC-2: force exit is a command like any other, seen through to its end and kept in the log."""
    position = clocked.position()
    told = out("order_manager", "exit", str(position.pk), "--percent", "50", "--market")
    assert told.startswith("Done. Closed ")
    command = Command.objects.get()
    assert (command.kind, command.status, command.via, command.asked_by) == (
        "close",
        "done",
        "command_line",
        None,
    )
    assert clocked.held(position.underlying) == position.quantity - clocked.orders(command)[0].quantity
    assert {(entry.actor_name, entry.outcome) for entry in AuditEntry.objects.all()} == {
        ("command line", "accepted"),
        ("command line", "done"),
    }
    same = out("order_manager", "exit", str(position.pk), "--percent", "25", "--key", "a", "--json")
    again = out("order_manager", "exit", str(position.pk), "--percent", "25", "--key", "a", "--json")
    assert json.loads(same)["id"] == json.loads(again)["id"]
    assert Command.objects.count() == 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("exit", "999999"), 2, "There is no position 999999."),
        (("cancel", "999999"), 2, "There is no order 999999."),
        (
            ("exit", "{position}", "--percent", "101"),
            1,
            "Refused. percent: It must be above 0",
        ),
        (("cancel", "{order}"), 1, "Not carried out."),
    ],
)
def test_a_refusal_is_told_by_the_exit_status(
    clocked: Floor, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """CLI-1: non-zero on a refusal; a filled order cannot be cancelled."""
    names: dict[str, Any] = {"position": clocked.position().pk, "order": Order.objects.first().pk}
    _, failed = failing("order_manager", *(word.format(**names) for word in arguments))
    assert failed.returncode == status
    assert str(failed).startswith(said)
