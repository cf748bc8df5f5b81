"""`manage.py seed_demo`: start the replay worlds and make the demo person, once."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand

from core.clock import utc_now
from engine.demo import DEMO_EMAIL, demo_seed, worlds_start


class Command(BaseCommand):
    """Start the replay worlds at the configured speed; make the demo person where there is none."""

    help = __doc__ or ""

    def handle(self, *args: object, **options: object) -> None:
        """Write the sign-in into var/demo_sign_in.txt, readable by the owner only."""
        now = utc_now()
        worlds_start(now=now, speed=settings.REPLAY_SPEED)
        password = demo_seed(now=now, cash=settings.INITIAL_PORTFOLIO_VALUE)
        if password is None:
            return
        path = Path(settings.VAR_DIR) / "demo_sign_in.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{DEMO_EMAIL} / {password}\n")
        self.stdout.write(f"Demo sign-in: {DEMO_EMAIL} / {password}")
