"""Commands: what a person asks for, accepted at once and carried out in the background (VIEW-3).

    accept  check, store, answer "accepted"      in the request, one short transaction
    run     claim, handle, keep the answer       in the worker of the queue ``commands``

The row is the truth, the message only a hint: ``commands_sweep`` runs every second and finds what was
accepted and never run, what is under way, and what a dead worker left behind. Accept and end are each
written with an entry in the audit log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Case, F, Q, QuerySet, When

from accounts.audit import audit_write
from accounts.models import AuditEntry, Portfolio, User
from core.errors import BooksDiffer, InputError, KeyReused, NotFound, RetryLater
from core.ids import uuid_new
from engine.command_handlers import HANDLERS
from engine.domain.command_data import shown
from engine.handlers.base import CommandAnswer, CommandHandler
from engine.models import Command
from engine.publishing import portfolio_changed
from engine.sending import command_later

logger = logging.getLogger(__name__)
CLAIM_TIMEOUT: Final = timedelta(seconds=15)  # then whoever had it is taken for dead
ATTEMPTS: Final = 5
OPEN_MOST: Final = 50
KEY_LENGTH: Final = 80
ANSWER_LENGTH: Final = 400
REFUSED_LENGTH: Final = 2000
FOUND_AT_ONCE: Final = 200
OPEN: Final = (Command.Status.ACCEPTED, Command.Status.RUNNING)
_ONCE: Final = "command_once_per_key"


def command_accept(
    *,
    portfolio: Portfolio,
    kind: str,
    data: Mapping[str, Any],
    key: str,
    asked_by: User | None,
    via: str,
    now: datetime,
) -> Command:
    """Check a request, store it as a command and return it; a worker carries it out.

    The same key with the same request returns the command that is there. Call it outside a transaction: a
    refusal is kept in the audit log though it raises.

    :param portfolio: fetched through its owner
    :param key: made by whoever asks, new for each wish, the same when the wish is sent again
    :param asked_by: None: the system itself
    :param via: one of ``AuditEntry.Via``
    :raises InputError: unknown kind, a field that makes no sense or names something foreign, a key that was
        used for another request, or too many commands that still work
    """
    try:
        handler, clean = _checked(kind=kind, data=data, key=key)
        known = _known(portfolio=portfolio, key=key, kind=kind, data=clean)
        if known is not None:
            return known
        _refer(handler, portfolio, clean)
        if kind != Command.Kind.EMERGENCY_STOP:
            _refuse_too_many(portfolio)
    except InputError as error:
        _refusal_keep(portfolio, kind, data, error, asked_by, via, now)
        raise
    command = Command(
        portfolio=portfolio, kind=kind, data=clean, key=key, asked_by=asked_by, via=via, accepted_at=now
    )
    return _stored(command=command, action=handler.action)


def command_run(*, command_id: UUID, now: datetime) -> str:
    """Carry out a command, or go on with it, and return its status; safe to call twice or side by side."""
    if not _claimed(command_id=command_id, now=now):
        return str(Command.objects.values_list("status", flat=True).get(pk=command_id))
    command = Command.objects.select_related("portfolio", "asked_by").get(pk=command_id)
    end = _outcome(command=command, handler=HANDLERS[command.kind], now=now)
    if end.status == Command.Status.RUNNING:
        return _go_on(command=command, end=end)
    return _finish(command=command, end=end, now=now)


def commands_due(*, now: datetime) -> list[UUID]:
    """Return the commands that nobody is at: accepted, under way, or left behind.

    Emergency stops first, then oldest first.
    """
    due = Command.objects.filter(_free(now), status__in=OPEN)
    first = Case(When(kind=Command.Kind.EMERGENCY_STOP, then=0), default=1)
    return list(due.order_by(first, "accepted_at").values_list("pk", flat=True)[:FOUND_AT_ONCE])


def commands_of(*, portfolio: Portfolio) -> QuerySet[Command]:
    """Return a portfolio's commands, newest first."""
    return (
        Command.objects.filter(portfolio=portfolio).select_related("asked_by").order_by("-accepted_at", "pk")
    )


def command_get(*, portfolio: Portfolio, command_id: UUID) -> Command:
    """Return one of a portfolio's commands.

    :raises NotFound: it has none of this id
    """
    command = commands_of(portfolio=portfolio).filter(pk=command_id).first()
    if command is None:
        raise NotFound(f"This portfolio has no command {command_id}.")
    return command


# ---------------------------------------------------------------- accepting
def _checked(*, kind: str, data: Mapping[str, Any], key: str) -> tuple[CommandHandler, dict[str, Any]]:
    handler = HANDLERS.get(kind) if isinstance(kind, str) else None
    if handler is None:
        raise InputError(
            f"There is no command {shown(kind)}; there are {', '.join(sorted(HANDLERS))}.", field="kind"
        )
    if not key or len(key) > KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise InputError(
            f"Send a key of 1 to {KEY_LENGTH} printable ASCII characters, new for each wish.", field="key"
        )
    if not isinstance(data, Mapping):
        raise InputError("The data of a command is an object of named values.", field="data")
    return handler, handler.check(data)


def _known(*, portfolio: Portfolio, key: str, kind: str, data: Mapping[str, Any]) -> Command | None:
    """Return the command this key was used for, if it was for the same."""
    command = Command.objects.filter(portfolio=portfolio, key=key).first()
    if command is not None and (command.kind != kind or command.data != data):
        raise KeyReused("This key was used for another command. Make a new key for a new wish.", field="key")
    return command


def _refer(handler: CommandHandler, portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """What the data names and is not there is a wrong field, not a wrong address."""
    try:
        handler.refer(portfolio, data)
    except NotFound as error:
        raise InputError(error.message, field=error.field) from None


def _refuse_too_many(portfolio: Portfolio) -> None:
    if Command.objects.filter(portfolio=portfolio, status__in=OPEN).count() >= OPEN_MOST:
        raise InputError(f"{OPEN_MOST} commands of this portfolio are under way. Wait until some are done.")


def _stored(*, command: Command, action: str) -> Command:
    """Store a checked command with its audit entry, and hint at it; one stored meanwhile is returned."""
    command.pk = uuid_new()
    portfolio, now = command.portfolio, command.accepted_at
    try:
        with transaction.atomic():
            command.save(force_insert=True)
            HANDLERS[command.kind].at_once(command, now)
            _audit(command, action, AuditEntry.Outcome.ACCEPTED, "", command.data, now)
            portfolio_changed(portfolio_id=portfolio.pk)
            transaction.on_commit(partial(command_later, command.pk))
    except IntegrityError as error:
        if _ONCE not in str(error):
            raise
        known = _known(portfolio=portfolio, key=command.key, kind=command.kind, data=command.data)
        if known is None:
            raise
        return known
    return command


def _refusal_keep(
    portfolio: Portfolio,
    kind: str,
    data: object,
    error: InputError,
    asked_by: User | None,
    via: str,
    now: datetime,
) -> None:
    handler = HANDLERS.get(kind) if isinstance(kind, str) else None
    # What was asked may be anything at all: written as ASCII, no character of it can keep it out of the log.
    asked = {"kind": ascii(kind)[:60], "data": json.dumps(data, default=str)[:REFUSED_LENGTH]}
    text = f"{error.field}: {error.message}" if error.field else error.message
    audit_write(
        action=handler.action if handler else "command.unknown",
        outcome=AuditEntry.Outcome.REFUSED,
        via=via,
        actor=_actor(asked_by, via),
        portfolio_id=portfolio.pk,
        text=text,
        data=asked,
        now=now,
    )


# ---------------------------------------------------------------- running
@dataclass(frozen=True, slots=True)
class _End:
    """What a run came to; RUNNING where it is to be gone on with."""

    status: Command.Status
    text: str
    result: Mapping[str, Any]
    orderly: bool = True  # the handler said so itself; a fault counts against ATTEMPTS


def _free(now: datetime) -> Q:
    return Q(claimed_at__isnull=True) | Q(claimed_at__lte=now - CLAIM_TIMEOUT)


def _claimed(*, command_id: UUID, now: datetime) -> bool:
    free = Command.objects.filter(_free(now), pk=command_id, status__in=OPEN)
    return bool(free.update(status=Command.Status.RUNNING, claimed_at=now, attempts=F("attempts") + 1))


def _outcome(*, command: Command, handler: CommandHandler, now: datetime) -> _End:
    """Run the handler, unless it is too late or was tried too often, and say what came of it."""
    why = ""
    if handler.within is not None and now - command.accepted_at > handler.within:
        why = f"Not carried out within {int(handler.within.total_seconds() // 60)} minutes."
    elif command.attempts > ATTEMPTS:
        why = f"Tried {ATTEMPTS} times and never finished."
    if why:
        return _End(Command.Status.FAILED, f"{why} {_so_far(command)}", command.result)
    return _handled(command=command, handler=handler, now=now)


def _so_far(command: Command) -> str:
    if command.answer:
        return f"So far: {command.answer}"
    return "Nothing was done." if command.attempts == 1 else "Look at the orders for what it did."


def _handled(*, command: Command, handler: CommandHandler, now: datetime) -> _End:
    status = Command.Status
    try:
        answer: CommandAnswer = handler.run(command.portfolio, command, now)
    except InputError as error:
        return _End(status.REFUSED, error.message, command.result)
    except RetryLater as error:
        logger.warning("command %s has to wait: %s", command.pk, error)
        return _End(status.RUNNING, command.answer, command.result)
    except BooksDiffer as difference:
        logger.exception("command %s met books that differ", command.pk)
        return _End(status.FAILED, f"The books differ: {difference}", command.result)
    except DatabaseError:
        raise  # nothing can be kept now; the claim runs out and it is begun again
    except Exception:
        logger.exception("command %s failed; attempt %s", command.pk, command.attempts)
        if command.attempts < ATTEMPTS:
            return _End(status.RUNNING, command.answer, command.result, orderly=False)
        return _End(status.FAILED, "The fault is ours and has been logged.", command.result)
    return _End(status.DONE if answer.done else status.RUNNING, answer.text, answer.result)


def _go_on(*, command: Command, end: _End) -> str:
    """Give the claim back, so that the next look goes on; tell the pages if there is news."""
    mine = Command.objects.filter(pk=command.pk, claimed_at=command.claimed_at, status=Command.Status.RUNNING)
    attempts = {"attempts": 0} if end.orderly else {}
    with transaction.atomic():
        mine.update(claimed_at=None, answer=end.text[:ANSWER_LENGTH], result=dict(end.result), **attempts)
        if end.text != command.answer:
            portfolio_changed(portfolio_id=command.portfolio_id)
    return Command.Status.RUNNING.value


def _finish(*, command: Command, end: _End, now: datetime) -> str:
    """Keep the end and its audit entry; whoever comes second finds it ended and keeps nothing."""
    mine = Command.objects.filter(pk=command.pk, claimed_at=command.claimed_at, status=Command.Status.RUNNING)
    with transaction.atomic():
        kept = mine.update(
            status=end.status, answer=end.text[:ANSWER_LENGTH], result=dict(end.result), finished_at=now
        )
        if kept:
            action = HANDLERS[command.kind].action
            data = {"asked": command.data, "result": dict(end.result)}
            _audit(command, action, AuditEntry.Outcome(end.status.value), end.text, data, now)
            portfolio_changed(portfolio_id=command.portfolio_id)
    return end.status.value


def _audit(
    command: Command, action: str, outcome: str, text: str, data: Mapping[str, Any], now: datetime
) -> None:
    audit_write(
        action=action,
        outcome=outcome,
        via=command.via,
        actor=_actor(command.asked_by, command.via),
        portfolio_id=command.portfolio_id,
        text=text,
        data=data,
        command_id=command.pk,
        now=now,
    )


def _actor(asked_by: User | None, via: str) -> User | str:
    """Return who asked; at the command line that is whoever may use this machine's account."""
    return asked_by or ("command line" if via == AuditEntry.Via.COMMAND_LINE else "system")
