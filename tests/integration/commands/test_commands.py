"""VIEW-3: a command is accepted at once, carried out once, answered, and kept for audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from accounts.models import AuditEntry, Portfolio, User
from core.errors import BooksDiffer, InputError, NotFound, RetryLater
from engine import commands
from engine.command_handlers import HANDLERS, CommandAnswer, CommandHandler
from engine.commands import command_accept, command_get, command_run, commands_due
from engine.models import Command
from tests.api.making import follow_make, portfolio_make, trader_make
from tests.integration.money.desk import NOW

SINGLE = {"trading_mode": "single"}


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    return portfolio_make(owner=alice)


def accept(
    portfolio: Portfolio, kind: str = "mode", data: Any = SINGLE, key: str = "k1", **more: Any
) -> Command:
    return command_accept(
        portfolio=portfolio,
        kind=kind,
        data=data,
        key=key,
        asked_by=portfolio.owner,
        via="page",
        now=NOW,
        **more,
    )


def rows() -> list[tuple[str, str, str]]:
    return list(AuditEntry.objects.order_by("id").values_list("action", "outcome", "text"))


def handled_by(monkeypatch: pytest.MonkeyPatch, run: Callable[..., CommandAnswer], **more: Any) -> None:
    """Let ``mode`` be carried out by another handler."""
    handler = CommandHandler(action="portfolio.mode", check=HANDLERS["mode"].check, run=run, **more)
    monkeypatch.setattr(commands, "HANDLERS", {**HANDLERS, "mode": handler})


def test_accepted_then_done_and_kept(portfolio: Portfolio) -> None:
    """VIEW-3, RSK-4: stored before it is answered; carried out; both ends are in the audit log."""
    command = accept(portfolio)
    assert (command.status, command.accepted_at, command.data) == ("accepted", NOW, SINGLE)
    portfolio.refresh_from_db()
    assert portfolio.trading_mode == "multi"
    assert command_run(command_id=command.pk, now=NOW) == "done"
    portfolio.refresh_from_db()
    command.refresh_from_db()
    assert portfolio.trading_mode == "single"
    assert command.answer == "Trading mode “One position at a time”."
    assert command.finished_at == NOW
    assert rows() == [
        ("portfolio.mode", "accepted", ""),
        ("portfolio.mode", "done", "Trading mode “One position at a time”."),
    ]
    first = AuditEntry.objects.order_by("id")[0]
    assert (first.actor_name, first.via, first.data) == ("alice@example.com", "page", SINGLE)
    assert (first.portfolio_id, first.command_id) == (portfolio.pk, command.pk)


def test_pressed_twice_is_one_command(portfolio: Portfolio) -> None:
    """VIEW-3: the same key is the same wish; for another wish it is refused."""
    first, second = accept(portfolio), accept(portfolio)
    assert first.pk == second.pk
    with pytest.raises(InputError, match="This key was used for another command") as refused:
        accept(portfolio, data={"trading_mode": "hybrid"})
    assert refused.value.field == "key"
    assert Command.objects.count() == 1
    assert [outcome for _, outcome, _ in rows()] == ["accepted", "refused"]


def test_a_stored_command_wins_over_one_stored_at_the_same_moment(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VIEW-3: two requests that both found nothing end with one row and one audit entry."""
    first = accept(portfolio)
    real, asked = commands._known, []

    def blind_once(**where: Any) -> Command | None:
        asked.append(where)
        return None if len(asked) == 1 else real(**where)

    monkeypatch.setattr(commands, "_known", blind_once)
    assert accept(portfolio).pk == first.pk
    assert [outcome for _, outcome, _ in rows()] == ["accepted"]


def test_running_it_again_changes_nothing(portfolio: Portfolio) -> None:
    """VIEW-3: a message that comes twice finds it done."""
    command = accept(portfolio)
    command_run(command_id=command.pk, now=NOW)
    Portfolio.objects.update(trading_mode="hybrid")
    assert command_run(command_id=command.pk, now=NOW + timedelta(hours=1)) == "done"
    portfolio.refresh_from_db()
    assert portfolio.trading_mode == "hybrid"
    assert len(rows()) == 2


@pytest.mark.parametrize(
    ("kind", "data", "key", "field", "said"),
    [
        ("explode", {}, "k", "kind", "There is no command “explode”; there are"),
        (
            "mode",
            {"trading_mode": "many"},
            "k",
            "trading_mode",
            "Choose one of multi, single, hybrid; got",
        ),
        ("mode", {"dry_run": "yes"}, "k", "dry_run", "It is either true or false, got “yes”."),
        ("mode", {}, "k", "", "Name what to set: trading_mode, dry_run or approves_conflicts."),
        ("mode", {"mode": "single"}, "k", "mode", "This command has no field “mode”; it has trading_mode"),
        ("mode", ["single"], "k", "data", "The data of a command is an object of named values."),
        ("mode", SINGLE, "", "key", "Send a key of 1 to 80 printable ASCII characters"),
        ("mode", SINGLE, "k" * 81, "key", "Send a key of 1 to 80 printable ASCII characters"),
        ("follow_pause", {"follow_id": "one"}, "k", "follow_id", "Name it by its number, got “one”."),
        ("follow_pause", {"follow_id": 0}, "k", "follow_id", "Name it by its number, got 0."),
        ("follow_pause", {}, "k", "follow_id", "Name it by its number, got nothing."),
        (
            "follow_pause",
            {"follow_id": 99},
            "k",
            "follow_id",
            "This portfolio follows nobody under the number 99.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_and_told(
    portfolio: Portfolio, kind: str, data: Any, key: str, field: str, said: str
) -> None:
    """VIEW-3: the field is named, nothing is stored but the audit entry."""
    with pytest.raises(InputError) as refused:
        accept(portfolio, kind=kind, data=data, key=key)
    assert refused.value.field == field
    assert refused.value.message.startswith(said)
    assert not Command.objects.exists()
    [(_, outcome, text)] = rows()
    assert outcome == "refused"
    assert said[:40] in text


def test_a_foreign_follow_is_as_unknown_as_none(portfolio: Portfolio, bob: User) -> None:
    """SEC-1: what belongs to someone else is not found."""
    foreign = follow_make(portfolio=portfolio_make(owner=bob, name="Bob's"), trader=trader_make())
    with pytest.raises(InputError, match=f"follows nobody under the number {foreign.pk}"):
        accept(portfolio, kind="follow_pause", data={"follow_id": foreign.pk})
    foreign.refresh_from_db()
    assert foreign.status == "active"


def test_a_trader_is_paused_and_resumed(portfolio: Portfolio) -> None:
    """FOL-1, VIEW-3: by command, twice harmless."""
    follow = follow_make(portfolio=portfolio, trader=trader_make())
    for key, kind, status in (
        ("a", "follow_pause", "paused"),
        ("b", "follow_pause", "paused"),
        ("c", "follow_resume", "active"),
    ):
        command = accept(portfolio, kind=kind, data={"follow_id": str(follow.pk)}, key=key)
        assert command_run(command_id=command.pk, now=NOW) == "done"
        follow.refresh_from_db()
        assert follow.status == status


def test_killed_between_accept_and_run(portfolio: Portfolio) -> None:
    """VIEW-3: the message is lost with the worker; the sweep finds the row."""
    command = accept(portfolio)
    assert commands_due(now=NOW) == [command.pk]


def test_killed_while_it_ran(portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    """VIEW-3: a claim that is 15 s old is a dead worker's; another begins again."""
    command = accept(portfolio)

    class Killed(BaseException):
        pass

    def dies(*_: Any) -> CommandAnswer:
        raise Killed

    with monkeypatch.context() as dying:
        handled_by(dying, dies)
        with pytest.raises(Killed):
            command_run(command_id=command.pk, now=NOW)
    soon, late = NOW + timedelta(seconds=14), NOW + timedelta(seconds=15)
    assert commands_due(now=soon) == []
    assert command_run(command_id=command.pk, now=soon) == "running"
    assert commands_due(now=late) == [command.pk]
    assert command_run(command_id=command.pk, now=late) == "done"
    command.refresh_from_db()
    assert command.attempts == 2


def test_a_command_that_kills_its_worker_is_given_up(portfolio: Portfolio) -> None:
    """VIEW-3: attempts are bounded; a person is told."""
    command = accept(portfolio)
    Command.objects.update(status="running", attempts=5, claimed_at=NOW)
    assert command_run(command_id=command.pk, now=NOW + timedelta(seconds=20)) == "failed"
    command.refresh_from_db()
    assert command.answer == "Tried 5 times and never finished. Look at the orders for what it did."
    assert rows()[-1][1] == "failed"


def test_one_under_way_is_gone_on_with_until_it_is_done(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VIEW-3: the wish is not lost while it has to wait, and waiting counts as no failed attempt."""
    command = accept(portfolio)
    looks: list[Any] = []

    def third_time(portfolio: Portfolio, command: Command, now: Any) -> CommandAnswer:
        looks.append(dict(command.result))
        return CommandAnswer(done=len(looks) == 8, text=f"Look {len(looks)}.", result={"looks": len(looks)})

    handled_by(monkeypatch, third_time)
    for second in range(7):
        assert command_run(command_id=command.pk, now=NOW + timedelta(seconds=second)) == "running"
    assert commands_due(now=NOW) == [command.pk]
    command.refresh_from_db()
    assert (command.answer, command.result, command.attempts) == ("Look 7.", {"looks": 7}, 0)
    assert command_run(command_id=command.pk, now=NOW) == "done"
    assert looks[-1] == {"looks": 7}
    assert [outcome for _, outcome, _ in rows()] == ["accepted", "done"]


def test_too_late_is_given_up_unless_it_never_is(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VIEW-3: what nobody ran for three minutes is not done unasked later; a stop never lapses."""
    late = NOW + timedelta(minutes=3, seconds=1)
    command = accept(portfolio)
    assert command_run(command_id=command.pk, now=late) == "failed"
    command.refresh_from_db()
    portfolio.refresh_from_db()
    assert command.answer == "Not carried out within 3 minutes. Nothing was done."
    assert portfolio.trading_mode == "multi"
    handled_by(monkeypatch, HANDLERS["mode"].run, within=None)
    assert command_run(command_id=accept(portfolio, key="k2").pk, now=late) == "done"


@pytest.mark.parametrize(
    ("error", "status", "answer"),
    [
        (InputError("Nothing to close."), "refused", "Nothing to close."),
        (RetryLater("the venue is away"), "running", ""),
        (BooksDiffer("slices sum to 1"), "failed", "The books differ: slices sum to 1"),
        (ValueError("oops"), "running", ""),
    ],
)
def test_each_error_ends_as_its_family_says(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str, answer: str
) -> None:
    """House habit: errors are named by the recovery they need."""
    command = accept(portfolio)

    def raises(*_: Any) -> CommandAnswer:
        raise error

    handled_by(monkeypatch, raises)
    assert command_run(command_id=command.pk, now=NOW) == status
    command.refresh_from_db()
    assert (command.status, command.answer) == (status, answer)


def test_a_fault_of_ours_is_told_after_five_attempts(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fails silently."""
    command = accept(portfolio)

    def faulty(*_: Any) -> CommandAnswer:
        raise ValueError("oops")

    handled_by(monkeypatch, faulty)
    seen = [command_run(command_id=command.pk, now=NOW) for _ in range(5)]
    assert seen == ["running"] * 4 + ["failed"]
    command.refresh_from_db()
    assert command.answer == "The fault is ours and has been logged."


def test_emergencies_come_first_then_the_oldest(portfolio: Portfolio) -> None:
    """RSK-3: a stop is run before everything that waits."""
    older, newer = accept(portfolio, key="a"), accept(portfolio, key="b")
    Command.objects.filter(pk=newer.pk).update(kind="emergency_stop")
    assert commands_due(now=NOW) == [newer.pk, older.pk]


def test_too_many_at_once_are_refused(portfolio: Portfolio) -> None:
    """A limit on everything: fifty of one portfolio under way, the next has to wait."""
    for number in range(50):
        accept(portfolio, key=str(number))
    with pytest.raises(InputError, match="50 commands of this portfolio are under way"):
        accept(portfolio, key="one more")
    assert accept(portfolio, key="7").key == "7"


def test_the_hint_leaves_when_the_row_is_there(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    """VIEW-3: no worker is told of a command that may still be rolled back."""
    told: list[Any] = []
    monkeypatch.setattr(commands, "command_later", told.append)
    with django_capture_on_commit_callbacks(execute=True):
        command = accept(portfolio)
        assert told == []
    assert told == [command.pk]


def test_found_through_its_portfolio_alone(portfolio: Portfolio, bob: User) -> None:
    """SEC-1: another's command is not there."""
    command = accept(portfolio)
    assert command_get(portfolio=portfolio, command_id=command.pk) == command
    with pytest.raises(NotFound):
        command_get(portfolio=portfolio_make(owner=bob, name="Bob's"), command_id=command.pk)


@pytest.mark.django_db(transaction=True)
def test_one_of_two_workers_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """VIEW-3: the claim is one conditional UPDATE."""
    alice = User.objects.create_user(email="alice@example.com", password="x")
    command = accept(portfolio_make(owner=alice))
    inside: list[str] = []

    def run(portfolio: Portfolio, command: Command, now: Any) -> CommandAnswer:
        inside.append(command_run(command_id=command.pk, now=now))
        return CommandAnswer(done=True, text="Done.")

    handled_by(monkeypatch, run)
    assert not transaction.get_connection().in_atomic_block
    assert command_run(command_id=command.pk, now=NOW) == "done"
    assert inside == ["running"]
