"""A process that does nothing but watch exits, on the test's database."""

from __future__ import annotations

import sys
import threading

import django


def main(name: str) -> None:
    """Watch until ended by force."""
    django.setup()
    import redis
    from django.conf import settings

    import portfolio_site.celery  # noqa: F401 - what is handed to workers goes to this site's broker
    from core.clock import SYSTEM_CLOCK
    from engine.exits.watch import ExitWatch

    client = redis.Redis.from_url(settings.REDIS_URL)
    ExitWatch(name=name, client=client, clock=SYSTEM_CLOCK, shards=settings.EXIT_SHARDS).run(
        threading.Event()
    )


if __name__ == "__main__":
    main(sys.argv[1])
