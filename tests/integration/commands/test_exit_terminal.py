"""EXT-2, CLI-1: exit levels at the command line; refused is status 1, nonsense 2."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from accounts.models import AuditEntry
from core.decimals import plain
from markets.models import Mark
from positions.exits import defaults_of
from positions.models import ExitGuard
from tests.integration.commands.conftest import Floor
from tests.integration.commands.test_terminal import clocked, failing, out

__all__ = ["clocked"]
D = Decimal
pytestmark = pytest.mark.django_db


def test_levels_are_listed(clocked: Floor) -> None:
    """CLI-1: a table for people, one JSON document for programs; without any stop it is a finding."""
    guard = clocked.guard()
    assert guard.stop_price is not None
    table = out("position_exits", "list")
    assert plain(guard.stop_price) in table
    assert "defaults" in table
    [document] = json.loads(out("position_exits", "list", "--json"))
    [shown] = [row for row in document["positions"] if row["id"] == guard.pk]
    assert (shown["code"], shown["exits"]["stop"]) == (guard.instrument_id, plain(guard.stop_price))
    assert document["defaults"]["rules"]["stop_loss_pct"] == "8"
    ExitGuard.objects.filter(pk=guard.pk).update(episode=2, stop_price=None)
    _, failed = failing("position_exits", "list")
    assert (failed.returncode, str(failed)) == (1, f"nothing stops a loss in {guard.instrument_id} of Two.")


def test_one_positions_exits_are_set(clocked: Floor) -> None:
    """EXT-2: through the same command as the page; the log says it came from the command line."""
    guard = clocked.guard()
    mark = Mark.objects.get(world_id=guard.world_id, instrument_id=guard.instrument_id).price
    assert guard.stop_price is not None
    stop = plain(((guard.stop_price + mark) / 2).quantize(D("0.01")))
    target = plain((mark * 2 if guard.sign > 0 else mark / 2).quantize(D("0.01")))
    told = out(
        "position_exits", "set", str(guard.pk), "--stop", stop, "--take-profit", f"{target}:50",
        "--time-stop", "20", "--json",
    )  # fmt: skip
    answer = json.loads(told)
    assert (answer["kind"], answer["status"], answer["result"]["exits"]["stop"]) == ("exits", "done", stop)
    guard.refresh_from_db()
    assert (plain(guard.stop_price), guard.time_stop_days, guard.own) == (stop, 20, True)
    assert guard.take_profit == [{"price": target, "fraction_pct": "50"}]
    assert {entry.via for entry in AuditEntry.objects.filter(action="position.exits")} == {"command_line"}
    back = out("position_exits", "set", str(guard.pk), "--use-defaults")
    assert f"The stop stays at {stop}" in back
    guard.refresh_from_db()
    assert (plain(guard.stop_price), guard.time_stop_days, guard.own) == (stop, 14, False)


def test_what_is_refused_ends_with_its_status(clocked: Floor) -> None:
    """CLI-1: 1 refused, at the door or by the worker; 2 makes no sense; nothing changes."""
    guard = clocked.guard()
    before = ExitGuard.objects.filter(pk=guard.pk).values().get()
    assert guard.stop_price is not None
    loose = plain(guard.stop_price * (90 if guard.sign > 0 else 110) / 100)
    _, failed = failing("position_exits", "set", str(guard.pk), "--stop", loose)
    assert (failed.returncode, "stop_price: A stop only tightens" in str(failed)) == (1, True)
    for arguments, status, words in (
        (("set", str(guard.pk)), 1, "Name a stop price"),
        (("set", str(guard.pk), "--stop-loss", "100"), 1, "below 100 %"),
        (("set", str(guard.pk), "--use-defaults", "--time-stop", "3"), 1, "replace every rule"),
        (("set", "999999", "--stop", "1"), 2, "There is no position 999999"),
        (("set", str(guard.pk), "--take-profit", "10%"), 2, "Write steps like"),
        (("defaults", "--take-profit", "120.5:50"), 1, "names a gain"),
        (("defaults", "--portfolio", "999999"), 2, "There is no portfolio"),
    ):
        told, failed = failing("position_exits", *arguments)
        assert (failed.returncode, words in f"{told}{failed}") == (status, True), f"{told}{failed}"
    assert ExitGuard.objects.filter(pk=guard.pk).values().get() == before


def test_defaults_are_shown_and_set(clocked: Floor) -> None:
    """EXT-2: one portfolio's; without a change they are only shown."""
    assert "stop_loss_pct" in out("position_exits", "defaults")
    told = out("position_exits", "defaults", "--stop-loss", "6.5", "--take-profit", "10%:50,20%:100")
    assert told.startswith("Done. New positions are guarded so: stop loss 6.5 %; ")
    rules = defaults_of(portfolio_id=clocked.portfolio.pk)
    assert (plain(rules.stop_loss_pct), rules.take_profit) == (
        "6.5",
        [{"gain_pct": "10", "fraction_pct": "50"}, {"gain_pct": "20", "fraction_pct": "100"}],
    )
    assert "Open ones keep theirs" in out("position_exits", "defaults", "--stops-at-venue", "yes")
    shown = json.loads(out("position_exits", "defaults", "--json"))
    assert (shown["own"], shown["stops_at_venue"], shown["rules"]["stop_loss_pct"]) == (True, True, "6.5")
