"""What a handler of commands is.

A handler may run more than once for one command: a worker can die at any line, and another then begins
again. So it first looks at what was done already (orders bear the ``command_id``; a setting that
stands is set), and what it does is guarded by the same locks as everything else.

What comes of a run:

    CommandAnswer(done=True, …)    it is carried out; the text tells the person what came of it
    CommandAnswer(done=False, …)   it is under way: the command stays RUNNING and is looked at again within a
                                   second, until ``within`` is over; the text tells how far it is
    InputError                     refused: the message says why and what to do
    RetryLater                     nothing happened; it is run again
    any other error                a fault of ours: logged, run again a few times, then FAILED
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from accounts.models import Portfolio
from engine.models import Command

PATIENCE: Final = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What a run of a handler came to.

    :param done: whether the command is carried out; if not it is under way, see above
    :param text: in words, for the person who asked
    :param result: what a program wants to know of it (ids, amounts as strings)
    """

    done: bool
    text: str
    result: Mapping[str, Any] = field(default_factory=dict)


def _nothing_to_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Most kinds name nothing that could be foreign."""


def _nothing_at_once(command: Command, now: datetime) -> None:
    """Most kinds wait for their worker."""


@dataclass(frozen=True, slots=True)
class CommandHandler:
    """How one kind of command is checked and carried out.

    :param action: its name in the audit log, subject first: "position.close"
    :param check: pure: the request's data in, the cleaned data out, decimals as strings; raises InputError
        naming the field at fault. Two requests are the same if their cleaned data is
    :param run: see above
    :param refer: looks in the database whether what the data names is there and the portfolio's own; raises
        NotFound or InputError. Only for a request seen the first time
    :param at_once: done in the transaction that accepts it, before any worker looks; fast, and safe to repeat
    :param within: when it is not carried out this long after it was accepted, it is given up; None: never
    """

    action: str
    check: Callable[[Mapping[str, Any]], dict[str, Any]]
    run: Callable[[Portfolio, Command, datetime], CommandAnswer]
    refer: Callable[[Portfolio, Mapping[str, Any]], None] = _nothing_to_refer
    at_once: Callable[[Command, datetime], None] = _nothing_at_once
    within: timedelta | None = PATIENCE
