"""What the command-line tools share: portfolios, tables, JSON, findings, and sending commands (CLI-1).

Exit status: 0 all is well; 1 something was found, or refused; 2 the call makes no sense, or what was asked
for is still under way.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import AuditEntry, Portfolio
from core.clock import utc_now
from core.errors import InputError
from core.ids import uuid_new
from engine.commands import command_accept, command_run
from engine.models import Command

WAIT_S: Final = 60
LOOK_EVERY_S: Final = 0.5
RIGHT: Final = ">"  # a heading that begins with it stands over numbers


class TerminalCommand(BaseCommand):
    """A tool with ``--portfolio`` and ``--json``."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options every tool has."""
        parser.add_argument("--portfolio", type=int, help="only this portfolio (default: all)")
        parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")

    def portfolios(self, options: Mapping[str, Any]) -> list[Portfolio]:
        """Return the portfolios asked for.

        :raises CommandError: there is none
        """
        chosen = Portfolio.objects.select_related("owner").order_by("pk")
        if options["portfolio"] is not None:
            chosen = chosen.filter(pk=options["portfolio"])
        found = list(chosen)
        if not found:
            which = f"with the number {options['portfolio']}" if options["portfolio"] is not None else "yet"
            raise CommandError(f"There is no portfolio {which}.", returncode=2)
        return found

    def one_portfolio(self, options: Mapping[str, Any]) -> Portfolio:
        """Return the one portfolio meant.

        :raises CommandError: there is none, or it is not clear which
        """
        found = self.portfolios(options)
        if len(found) > 1:
            names = ", ".join(f"{portfolio.pk} ({portfolio.name})" for portfolio in found)
            raise CommandError(f"Say which with --portfolio: {names}.", returncode=2)
        return found[0]

    def title(self, portfolio: Portfolio) -> None:
        """Print whose table comes next."""
        self.stdout.write(f"\n{portfolio.name} (number {portfolio.pk}, {portfolio.owner.email})")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
        """Print rows under headings; numbers, whose heading begins with ">", stand to the right."""
        if not rows:
            self.stdout.write(f"  {empty}")
            return
        names = [heading.removeprefix(RIGHT) for heading in headings]
        cells = [["–" if cell is None else str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        for line in (names, ["-" * width for width in widths], *cells):
            parts = (
                cell.rjust(width) if heading.startswith(RIGHT) else cell.ljust(width)
                for cell, width, heading in zip(line, widths, headings, strict=True)
            )
            self.stdout.write(f"  {'  '.join(parts)}".rstrip())

    def document(self, value: object) -> None:
        """Print one JSON document."""
        self.stdout.write(json.dumps(value, indent=2, default=str))

    def findings_raise(self, findings: Sequence[str]) -> None:
        """End with status 1 if anything was found.

        :raises CommandError: says what
        """
        if findings:
            raise CommandError("; ".join(findings) + ".", returncode=1)

    # ---------------------------------------------------------------- acting
    def carry_out(
        self, *, portfolio: Portfolio, kind: str, data: Mapping[str, Any], options: Mapping[str, Any]
    ) -> None:
        """Send a command as any page does, see it through, and print its answer.

        It is worked on here too, so that it does not need the worker of the queue ``commands``.

        :raises CommandError: refused or failed (1), or still under way after ``--wait`` seconds (2)
        """
        try:
            command = command_accept(
                portfolio=portfolio,
                kind=kind,
                data=data,
                key=options["key"] or f"terminal {uuid_new()}",
                asked_by=None,
                via=AuditEntry.Via.COMMAND_LINE,
                now=utc_now(),
            )
        except InputError as error:
            field = f"{error.field}: " if error.field else ""
            raise CommandError(f"Refused. {field}{error.message}", returncode=1) from None
        command = self._seen_through(command, wait_s=options["wait"])
        if options["json"]:
            self.document(
                {
                    "id": command.pk,
                    "kind": command.kind,
                    "status": command.status,
                    "answer": command.answer,
                    "result": command.result,
                }
            )
        else:
            self.stdout.write(f"{command.get_status_display()}. {command.answer}")
        if command.status != Command.Status.DONE:
            under_way = command.finished_at is None
            told = "Still under way; the workers go on with it." if under_way else "Not carried out."
            raise CommandError(told, returncode=2 if under_way else 1)

    def _seen_through(self, command: Command, *, wait_s: float) -> Command:
        until = utc_now() + timedelta(seconds=wait_s)
        while True:
            command_run(command_id=command.pk, now=utc_now())
            seen = Command.objects.get(pk=command.pk)
            if seen.finished_at is not None or utc_now() >= until:
                return seen
            time.sleep(LOOK_EVERY_S)


def acting_arguments(parser: CommandParser) -> None:
    """Declare the options of tools that act."""
    parser.add_argument(
        "--key", default="", help="idempotency key: the same key is the same wish (default: a new one)"
    )
    parser.add_argument(
        "--wait", type=float, default=WAIT_S, help=f"seconds to wait for the end (default: {WAIT_S})"
    )


def dollars_of(amount: str | None) -> str | None:
    """Write an amount of the view for a person: "1234.5" → "1,234.50"."""
    return None if amount is None else f"{Decimal(amount):,.2f}"
