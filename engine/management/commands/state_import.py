"""`manage.py state_import FILE`: take over another program's state file (DAT-1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts.models import User
from core.clock import utc_now
from core.errors import BooksDiffer, InputError
from engine.state_import import state_confirm, state_preview


class Command(BaseCommand):
    """Print what would be taken over; without ``--dry-run`` take it over. Exit 1 where it is refused."""

    help = "Take over cash and positions of a state file into a new paper portfolio."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the file, whose it becomes, and what it is called."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--owner", required=True, help="e-mail address of its owner")
        parser.add_argument("--name", default="", help="of the new portfolio (default: the file's name)")
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be taken over, keep nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Preview, then confirm."""
        owner = User.objects.filter(email=options["owner"].lower()).first()
        if owner is None:
            raise CommandError(f"Nobody signs in as {options['owner']}.", returncode=2)
        try:
            text = options["file"].read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}", returncode=2) from None
        try:
            with transaction.atomic():
                found = state_preview(owner=owner, text=text, now=utc_now())
                self._show(found.report)
                if options["dry_run"]:
                    transaction.set_rollback(True)
                    return
            name = options["name"] or options["file"].stem
            portfolio = state_confirm(found=found, name=name, now=utc_now())
        except InputError as error:
            raise CommandError(f"Refused. {error.message}", returncode=1) from None
        except BooksDiffer as error:
            raise CommandError(str(error), returncode=1) from None
        found.refresh_from_db()
        for line in found.report["exits"]:
            self.stdout.write(f"  {line}")
        self.stdout.write(f"Taken over into portfolio {portfolio.pk} ({portfolio.name}).")

    def _show(self, report: dict[str, Any]) -> None:
        said = (
            f"version {report['version']}, {report['policy']}, cash {report['cash']}, cost {report['cost']}"
        )
        self.stdout.write(said)
        for row in report["positions"]:
            self.stdout.write(
                f"  {row['quantity']} {row['code']} at {row['entry_price']}, cost {row['cost']}"
            )
        for finding in report["findings"]:
            mark = "must be mended" if finding["fatal"] else "note"
            self.stdout.write(f"  {mark}: {finding['place']}: {finding['text']}")
        for name, count in report["history"].items():
            self.stdout.write(f"  note: {name}: {count} entries are not taken into the books")
