"""The exit watch of one worker, with a Redis connection of its own and a name no other has."""

from django.conf import settings

from core.clock import SYSTEM_CLOCK
from core.ids import epoch_new
from engine.exits.watch import ExitWatch
from portfolio_site.probe import redis_probe

REDIS_TIMEOUT_S = 2.0  # far longer than a read blocks; without an answer the leases run out


def exit_watch_make(*, worker_name: str) -> ExitWatch:
    """Return a watch for the worker of this name."""
    return ExitWatch(
        name=f"{worker_name[:60]}:{epoch_new()}",
        client=redis_probe(timeout_s=REDIS_TIMEOUT_S),
        clock=SYSTEM_CLOCK,
        shards=settings.EXIT_SHARDS,
    )
