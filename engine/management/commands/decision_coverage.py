"""`manage.py decision_coverage`: whether every change of every followed trader has a decision (BEY-3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser

from core.clock import utc_now
from engine.changes import change_coverage
from engine.management.terminal import TerminalCommand


class Command(TerminalCommand):
    """Print the coverage; exit 1 if it is not complete."""

    help = "Count the followed traders' changes and those without a decision."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare how far to look back."""
        super().add_arguments(parser)
        parser.add_argument("--hours", type=int, default=24, help="look back this far (default: 24)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Count."""
        kept = change_coverage(
            now=utc_now(), portfolio_id=options["portfolio"], window=timedelta(hours=options["hours"])
        )
        if options["json"]:
            self.document(
                {"changes": kept.changes, "answered": kept.answered, "coverage": str(kept.fraction)}
            )
        else:
            self.stdout.write(f"{kept.answered} of {kept.changes} changes have a decision.")
        missing = kept.changes - kept.answered
        self.findings_raise([f"{missing} without a decision"] if missing else [])
