"""`manage.py run_feed`: move replay worlds forward and poll live prices until told to stop."""

from __future__ import annotations

import signal
from threading import Event

from django.core.management.base import BaseCommand

from core.clock import SYSTEM_CLOCK
from engine.feeding import feed_make
from markets.services import replays_resume


class Command(BaseCommand):
    """Run the feed in the foreground; SIGTERM and Ctrl-C end it in order."""

    help = __doc__ or ""

    def handle(self, *args: object, **options: object) -> None:
        """Run until stopped."""
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        replays_resume(now=SYSTEM_CLOCK.now())
        feed_make(clock=SYSTEM_CLOCK).run(stop)
