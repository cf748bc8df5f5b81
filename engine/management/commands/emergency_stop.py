"""`manage.py emergency_stop`: cancel every order, close every position, freeze (RSK-3); needs no worker."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser

from accounts.models import AuditEntry, Portfolio
from core.clock import SYSTEM_CLOCK, utc_now
from core.ids import uuid_new
from engine.commands import command_accept, command_run
from engine.management.terminal import LOOK_EVERY_S, WAIT_S, TerminalCommand
from engine.models import Command as Wish
from engine.order_life import orders_work

REASON: Final = "From the command line"


class Command(TerminalCommand):
    """All portfolios asked for are frozen first, then closed; a second call goes on with it."""

    help = "Emergency stop: cancel every order, close every position, freeze until somebody resumes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("portfolio", type=int, nargs="?", help="the portfolio's number")
        parser.add_argument("--all", action="store_true", help="every portfolio")
        parser.add_argument("--reason", default=REASON, help="why; kept with the trip")
        parser.add_argument("--drill", action="store_true", help="measure and show what would be sent")
        parser.add_argument("--wait", type=float, default=WAIT_S, help="seconds to see it through")
        parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        """Stop or drill; exit 2 while something is still open."""
        if (options["portfolio"] is None) is not options["all"]:
            raise CommandError("Name one portfolio, or say --all.", returncode=2)
        kind = Wish.Kind.DRILL if options["drill"] else Wish.Kind.EMERGENCY_STOP
        wishes = [
            self._accepted(portfolio, kind.value, options["reason"]) for portfolio in self.portfolios(options)
        ]
        seen = self._seen(wishes, wait_s=options["wait"])
        if options["json"]:
            self.document(
                [
                    {"portfolio": wish.portfolio_id, "status": wish.status, "answer": wish.answer}
                    | {"result": wish.result}
                    for wish in seen
                ]
            )
        else:
            rows = [(wish.portfolio_id, wish.portfolio.name, wish.status, wish.answer) for wish in seen]
            self.table((">number", "portfolio", "status", "answer"), rows, empty="There is no portfolio.")
        if any(wish.status != Wish.Status.DONE for wish in seen):
            raise CommandError("Not everything is closed yet; the workers go on with it.", returncode=2)

    def _accepted(self, portfolio: Portfolio, kind: str, reason: str) -> Wish:
        """Store the command as every door does, which freezes at once."""
        data = {"confirm": portfolio.name, "reason": reason} if kind == Wish.Kind.EMERGENCY_STOP else {}
        return command_accept(
            portfolio=portfolio,
            kind=kind,
            data=data,
            key=f"terminal {uuid_new()}",
            asked_by=None,
            via=AuditEntry.Via.COMMAND_LINE,
            now=utc_now(),
        )

    def _seen(self, wishes: list[Wish], *, wait_s: float) -> list[Wish]:
        """Work on the commands and on the orders until all is closed or the time is over."""
        until = utc_now() + timedelta(seconds=wait_s)
        ids = [wish.pk for wish in wishes]
        while True:
            for pk in ids:
                command_run(command_id=pk, now=utc_now())
            seen = list(Wish.objects.filter(pk__in=ids).select_related("portfolio").order_by("portfolio_id"))
            if all(wish.finished_at for wish in seen) or utc_now() >= until:
                return seen
            orders_work(now=utc_now(), clock=SYSTEM_CLOCK)
            time.sleep(LOOK_EVERY_S)
