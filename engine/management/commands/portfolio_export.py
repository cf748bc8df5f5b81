"""`manage.py portfolio_export WHAT.FORMAT`: what a portfolio has, as a file (DAT-1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from core.clock import utc_now
from core.errors import InputError
from engine.domain.export_format import Ending
from engine.exports import SUBJECTS, export_open, moment_read
from engine.management.terminal import TerminalCommand


class Command(TerminalCommand):
    """Write an export to a file, or to standard output."""

    help = "Write fills, orders, positions, slices, equity, ledger or decisions as CSV, JSON or SQL."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what, which time, and where to."""
        parser.add_argument("--portfolio", type=int, help="of this one (needed where there are several)")
        parser.add_argument(
            "what", help=f"what and how: {', '.join(SUBJECTS)}, then a dot and {', '.join(Ending)}: fills.csv"
        )
        parser.add_argument("--from", dest="since", default="", help="from this day on, UTC, or moment")
        parser.add_argument("--to", dest="until", default="", help="up to this day, included, or moment")
        parser.add_argument("--output", type=Path, help="write here instead of to standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it piece by piece."""
        portfolio = self.one_portfolio(options)
        what, _, ending = options["what"].partition(".")
        try:
            export = export_open(
                portfolio=portfolio,
                what=what,
                ending=ending,
                since=moment_read(options["since"], field="from"),
                until=moment_read(options["until"], field="to", day_after=True),
                now=utc_now(),
            )
        except InputError as error:
            raise CommandError(error.message, returncode=2) from None
        if options["output"] is None:
            for chunk in export.chunks:
                self.stdout.write(chunk, ending="")
            return
        with options["output"].open("w", encoding="utf-8", newline="") as file:
            file.writelines(export.chunks)
        self.stdout.write(f"Written to {options['output']}.")
