"""`manage.py audit_books`: prove that cash, ledger, orders, fills, positions and slices agree."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.clock import utc_now
from core.decimals import plain
from positions.audit import SETTLING, Finding, books_audit


class Command(BaseCommand):
    """Print every difference; exit 1 if there is one."""

    help = "Compare every record of money and quantities with its counterpart."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--portfolio", type=int, help="only this portfolio (default: all)")
        parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the audit."""
        findings = books_audit(portfolio_id=options["portfolio"], settled_before=utc_now() - SETTLING)
        if options["json"]:
            self.stdout.write(json.dumps([_as_json(finding) for finding in findings], indent=2))
        elif findings:
            self.stdout.write(
                f"{'portfolio':>9}  {'check':<30} {'expected':>24} {'found':>24}  what was compared"
            )
            for finding in findings:
                self.stdout.write(_as_line(finding))
        else:
            self.stdout.write("The books are clean: every record agrees with its counterpart.")
        if findings:
            raise CommandError(f"{len(findings)} differences. Nothing was changed; find the cause first.")


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "portfolio_id": finding.portfolio_id,
        "expected": None if finding.expected is None else plain(finding.expected),
        "found": None if finding.found is None else plain(finding.found),
        "detail": finding.detail,
    }


def _as_line(finding: Finding) -> str:
    expected = "" if finding.expected is None else plain(finding.expected)
    found = "" if finding.found is None else plain(finding.found)
    return f"{finding.portfolio_id!s:>9}  {finding.kind:<30} {expected:>24} {found:>24}  {finding.detail}"
