"""`manage.py credential_keys new | check | rotate`: the keys that seal what is secret in the database."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.credentials import SealCount, factors_check, factors_rotate, sealed_check, sealed_rotate
from engine.credentials import SEALED_COLUMNS


class Command(BaseCommand):
    """Make a sealing key, prove that everything opens, or seal everything anew with the newest key."""

    help = "Look after the keys of CREDENTIAL_KEYS, which seal the secrets in the database."

    def add_arguments(self, parser: CommandParser) -> None:
        """One word says what to do."""
        parser.add_argument(
            "what",
            choices=("new", "check", "rotate"),
            help="new: print a fresh key; check: open everything; rotate: seal everything with the first key",
        )

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        """Print what was done.

        :raises CommandError: something is sealed with a key that is not listed
        """
        if what == "new":
            self.stdout.write(Fernet.generate_key().decode())
            return
        act = sealed_rotate if what == "rotate" else sealed_check
        broken = 0
        for model, column in SEALED_COLUMNS:
            count = act(model=model, column=column)
            broken += len(count.broken)
            self._say(f"{model._meta.verbose_name_plural}".capitalize(), what, count)
        count = factors_rotate() if what == "rotate" else factors_check()
        broken += len(count.broken)
        self._say("Second factors", what, count)
        if broken:
            raise CommandError(
                f"{broken} cannot be opened: CREDENTIAL_KEYS lacks the key they were sealed with. "
                "Put it back at the end of the list."
            )

    def _say(self, name: str, what: str, count: SealCount) -> None:
        done = "sealed anew" if what == "rotate" else "open with an older key: run rotate"
        self.stdout.write(
            f"{name}: {count.done} {done}, {count.current} open with the newest key, "
            f"{len(count.broken)} with none"
        )
        if count.broken:
            self.stdout.write(f"  not opened: {', '.join(str(pk) for pk in count.broken)}")
