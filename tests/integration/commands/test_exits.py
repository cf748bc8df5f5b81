"""EXT-2, VIEW-3: what closes positions is changed by command, refused at its field, kept for audit."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import AuditEntry
from core.decimals import plain
from core.errors import InputError
from engine.models import Command, Decision, ExitTrigger
from engine.selectors import portfolio_view
from markets.models import Mark
from positions.exits import defaults_of
from positions.models import ExitDefaults, ExitGuard
from tests.integration.commands.conftest import Floor

D = Decimal
pytestmark = pytest.mark.django_db


def nearer(floor: Floor) -> Decimal:
    """Return a stop price half-way between the one that stands and the price."""
    guard = floor.guard()
    mark = Mark.objects.get(world_id=guard.world_id, instrument_id=guard.instrument_id).price
    assert guard.stop_price is not None
    return ((guard.stop_price + mark) / 2).quantize(D("0.01"))


def trigger_make(floor: Floor, **fields: Any) -> ExitTrigger:
    return ExitTrigger.objects.create(
        portfolio=floor.portfolio,
        position=floor.position(),
        seen_at=floor.now,
        world_at=floor.now,
        **{"kind": "stop_loss", "price": D(98), "level": D(99), **fields},
    )


# ---------------------------------------------------------------- one position
def test_a_stop_is_moved_by_command_and_shown(floor: Floor) -> None:
    """EXT-2: the answer, the view, a decision and the audit log say the same; the guard stays of its kind."""
    position, stop = floor.position(), nearer(floor)
    version = floor.guard().version
    command = floor.carry_out(floor.ask("exits", position_id=position.pk, stop_price=str(stop)))
    assert (command.status, command.answer) == (
        "done",
        f"Exits of {position.underlying} changed: stop at {plain(stop)}.",
    )
    guard = floor.guard()
    assert (guard.stop_price, guard.own, guard.version, guard.changed_at) == (
        stop,
        True,
        version + 1,
        guard.levels_from,
    )
    shown = portfolio_view(portfolio=floor.portfolio)["positions"][str(position.pk)]["exits"]
    assert shown == command.result["exits"] | {"trigger": None}
    assert (shown["stop"], shown["own"]) == (plain(stop), True)
    note = Decision.objects.get(text=f"Exits of {position.underlying} changed")
    assert note.reason == (
        f"stop at {plain(stop)}; stop loss 8 %; trails from 12 %; trails by 5 %; time stop 14 d; "
        "take profit off"
    )
    entries = AuditEntry.objects.filter(action="position.exits").order_by("pk")
    assert [entry.outcome for entry in entries] == ["accepted", "done"]
    assert entries[1].data["asked"] == {"position_id": position.pk, "stop_price": shown["stop"]}


def test_a_worker_that_died_after_changing_them_changes_them_once(floor: Floor) -> None:
    """VIEW-3: begun again, it finds them as asked for, even where the price has come close since."""
    command = floor.ask("exits", position_id=floor.position().pk, stop_price=str(nearer(floor)))
    floor.run(command)
    version = floor.guard().version
    Command.objects.filter(pk=command.pk).update(status="running", claimed_at=None, finished_at=None)
    Mark.objects.update(price=floor.guard().stop_price)
    assert floor.run(command) == "done"
    command.refresh_from_db()
    assert command.answer.endswith("its exits stand as you asked.")
    assert floor.guard().version == version
    assert Decision.objects.filter(text__startswith="Exits of").count() == 1


def test_a_looser_stop_is_refused_and_the_one_that_stands_is_named(floor: Floor) -> None:
    """EXT-2: the ratchet, in words, at the door and by the worker; nothing changes."""
    position_id = floor.position().pk
    stop = floor.guard().stop_price
    assert stop is not None
    loose = plain((stop * (1 - floor.guard().sign * D("0.01"))).quantize(D("0.01")))
    with pytest.raises(InputError) as refused:
        floor.ask("exits", position_id=position_id, stop_price=loose)
    assert refused.value.field == "stop_price"
    assert refused.value.message == (
        f"A stop only tightens: the stop stands at {plain(stop)}, and {loose} is further away."
    )
    late = floor.ask("exits", position_id=position_id, stop_price=str(nearer(floor)))
    nearest = nearer(floor) + floor.guard().sign * D("0.01")
    assert (
        floor.carry_out(floor.ask("exits", position_id=position_id, stop_price=str(nearest))).status == "done"
    )
    before = ExitGuard.objects.filter(pk=position_id).values().get()
    assert floor.carry_out(late).status == "refused"
    assert late.answer.startswith(f"A stop only tightens: the stop stands at {plain(nearest)}, and")
    assert ExitGuard.objects.filter(pk=position_id).values().get() == before
    assert AuditEntry.objects.filter(action="position.exits", outcome="refused").count() == 2


def test_a_wider_percentage_is_kept_and_the_answer_says_what_stays(floor: Floor) -> None:
    """EXT-2: notes and warnings come with the answer, for people and for programs."""
    stop = floor.guard().stop_price
    command = floor.carry_out(
        floor.ask("exits", position_id=floor.position().pk, stop_loss_pct="30", time_stop_days="70")
    )
    assert stop is not None
    note = f"The stop stays at {plain(stop)}, since a stop only tightens."
    assert command.result["notes"] == [note]
    assert command.result["warnings"] == [
        "A stop 30 % away is daring: so much is lost before it closes.",
        "A time stop of 70 days is daring: it guards next to nothing.",
    ]
    for said in (note, *command.result["warnings"]):
        assert said in command.answer
    assert (floor.guard().stop_loss_pct, floor.guard().stop_price) == (30, stop)


def test_the_defaults_are_taken_again(floor: Floor) -> None:
    """EXT-2: every rule of its own ends at once."""
    position_id = floor.position().pk
    steps = [{"gain_pct": "50", "fraction_pct": "25"}]
    floor.carry_out(
        floor.ask("exits", position_id=position_id, take_profit=steps, trail_from_pct="0", trail_by_pct="0")
    )
    assert (floor.guard().take_profit, floor.guard().own) == (steps, True)
    command = floor.carry_out(floor.ask("exits", position_id=position_id, use_defaults=True))
    assert command.status == "done"
    assert (floor.guard().take_profit, floor.guard().trail_by_pct, floor.guard().own) == ([], 5, False)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, ""),
        ({"stop_price": "0"}, "stop_price"),
        ({"stop_price": 0.5}, "stop_price"),
        ({"stop_price": "NaN"}, "stop_price"),
        ({"stop_loss_pct": "-1"}, "stop_loss_pct"),
        ({"stop_loss_pct": "0.00001"}, "stop_loss_pct"),
        ({"stop_loss_pct": False}, "stop_loss_pct"),
        ({"stop_loss_pct": ""}, "stop_loss_pct"),
        ({"stop_price": "5", "stop_loss_pct": "5"}, "stop_price"),
        ({"stop_price": "5", "use_defaults": True}, "use_defaults"),
        ({"use_defaults": "yes"}, "use_defaults"),
        ({"use_defaults": False}, ""),
        ({"take_profit": "all"}, "take_profit"),
        ({"take_profit": ["all"]}, "take_profit"),
        ({"take_profit": [{"gain_pct": "10"}]}, "take_profit"),
        ({"take_profit": [{"gain_pct": "10", "price": "5", "fraction_pct": "50"}]}, "take_profit"),
        ({"take_profit": [{"gain_pct": "10", "fraction_pct": "0"}]}, "take_profit"),
        ({"take_profit": [{"gain_pct": 10.5, "fraction_pct": "50"}]}, "take_profit"),
        ({"take_profit": [{"gain_pct": "1", "fraction_pct": "1"}] * 11}, "take_profit"),
        ({"time_stop_days": "4000"}, "time_stop_days"),
        ({"stops_at_venue": True}, "stops_at_venue"),
        ({"position_id": 10**9, "stop_price": "5"}, "position_id"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(floor: Floor, data: dict[str, Any], field: str) -> None:
    """VIEW-3: at the door, and nothing is kept but the refusal."""
    before = ExitGuard.objects.order_by("pk").values_list("pk", "version")
    with pytest.raises(InputError) as refused:
        floor.ask("exits", **{"position_id": floor.position().pk, **data})
    assert refused.value.field == field
    assert not Command.objects.exists()
    assert list(before) == list(ExitGuard.objects.order_by("pk").values_list("pk", "version"))
    assert AuditEntry.objects.get(action="position.exits").outcome == "refused"


def test_exits_of_what_is_closed_or_being_closed_stand(floor: Floor) -> None:
    """EXT-4: a rule that closes all of it has the last word; one that closes a part does not."""
    position = floor.position()
    ask = {"position_id": position.pk, "time_stop_days": "20"}
    part = trigger_make(floor, kind="take_profit", fraction=D("0.5"))
    assert floor.carry_out(floor.ask("exits", **ask)).status == "done"
    ExitTrigger.objects.filter(pk=part.pk).update(fraction=1)
    assert floor.carry_out(floor.ask("exits", **ask, trail_by_pct="4")).status == "done"
    for steps in ({"take_profit": []}, {"use_defaults": True}):
        with pytest.raises(InputError, match="Its take profit at 98 is closing it already"):
            floor.ask("exits", position_id=position.pk, **steps)
    ExitTrigger.objects.filter(pk=part.pk).update(status="done")
    command = floor.ask("exits", **{**ask, "time_stop_days": "21"})
    trigger_make(floor)
    assert floor.carry_out(command).status == "refused"
    assert floor.guard().time_stop_days == 20
    with pytest.raises(InputError, match="Its stop loss at 98 is closing it already"):
        floor.ask("exits", **ask)
    ExitTrigger.objects.update(status="done")
    floor.carry_out(floor.ask("close", position_id=position.pk, percent="100", market=True), steps=60)
    position.refresh_from_db()
    assert position.status == "closed"
    with pytest.raises(InputError, match="closed already"):
        floor.ask("exits", **ask)


# ---------------------------------------------------------------- new positions
def test_defaults_are_for_new_positions(floor: Floor) -> None:
    """EXT-2: kept, told and noted; what is open keeps its own."""
    before = list(ExitGuard.objects.order_by("pk").values())
    steps = [{"gain_pct": "10", "fraction_pct": "50"}]
    command = floor.carry_out(
        floor.ask("exit_defaults", stop_loss_pct="30", take_profit=steps, stops_at_venue=True)
    )
    assert (command.status, command.answer) == (
        "done",
        (
            "New positions are guarded so: stop loss 30 %; trails from 12 %; trails by 5 %; time stop 14 d; "
            "take profit 50 % at 10 %; stops rest at the venue too. Open ones keep theirs. "
            "A stop 30 % away is daring: so much is lost before it closes."
        ),
    )
    rules = defaults_of(portfolio_id=floor.portfolio.pk)
    assert (rules.stop_loss_pct, rules.take_profit, rules.stops_at_venue) == (30, steps, True)
    assert list(ExitGuard.objects.order_by("pk").values()) == before
    note = Decision.objects.get(text="Exits of new positions changed")
    assert note.reason == "stop loss 30 %; take profit 50 % at 10 %; stops rest at the venue too"
    done = AuditEntry.objects.get(action="portfolio.exit_defaults", outcome="done")
    assert done.data["asked"] == {"stop_loss_pct": "30", "take_profit": steps, "stops_at_venue": True}
    floor.carry_out(floor.ask("exit_defaults", stop_loss_pct="30"))
    assert Decision.objects.filter(text="Exits of new positions changed").count() == 1


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, ""),
        ({"position_id": 1}, "position_id"),
        ({"stop_loss_pct": "100"}, "stop_loss_pct"),
        ({"trail_from_pct": "0", "trail_by_pct": "5"}, "trail_from_pct"),
        ({"take_profit": [{"price": "10", "fraction_pct": "50"}]}, "take_profit"),
        ({"stops_at_venue": "yes"}, "stops_at_venue"),
        ({"time_stop_days": "0.0001"}, "time_stop_days"),
    ],
)
def test_defaults_that_make_no_sense_are_refused(floor: Floor, data: dict[str, Any], field: str) -> None:
    """EXT-2: at the door, beside the rules that stay."""
    with pytest.raises(InputError) as refused:
        floor.ask("exit_defaults", **data)
    assert refused.value.field == field
    assert not ExitDefaults.objects.exists()
    assert not Command.objects.exists()
    assert AuditEntry.objects.get(action="portfolio.exit_defaults").outcome == "refused"


def test_a_time_stop_is_in_world_time(floor: Floor) -> None:
    """EXT-1: in a replay 600 times as fast, a day is over after 144 seconds of ours."""
    guard = floor.guard()
    floor.live(30)
    held = floor.arena.world.clock().at(floor.now) - guard.opened_world_at
    assert held > timedelta(hours=5)
    command = floor.carry_out(floor.ask("exits", position_id=guard.pk, time_stop_days="0.2"))
    assert command.status == "refused"
    assert command.answer.startswith("It has been open for longer, since")
