"""What the feed tells and asks the packages above it, and how each of its steps survives a fault."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import redis
import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from markets.domain.venue_listing import VenueSection
from markets.models import World

log = structlog.get_logger(__name__)

OnMarks = Callable[[World], None]
OnTraderEvents = Callable[[str, Sequence[str]], None]
TraderEvents = Callable[[str, datetime, datetime], Sequence[str]]
MayRestart = Callable[[World], bool]


class Stop(Protocol):
    """What ends the feed; ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Tell whether to stop."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until stopped, at most ``timeout`` seconds; return whether stopped."""
        ...


@dataclass(frozen=True, slots=True)
class FeedHooks:
    """What the feed tells and asks the packages above it.

    :param on_marks: marks of a world were written
    :param trader_events: world name, after, until (world times) → keys of the traders with a recorded change
        in (after, until]
    :param on_trader_events: world name and those keys, once their moment has come
    :param may_restart: may this finished replay start again (nothing is held in it any more)?
    :param live_wanted: does anybody need live prices now?
    :param live_codes: instruments that are held or wanted in the live world: candles are kept of these, and
        prices of their builders' dexes are read beside the venue's own
    :param live_sections: markets of other venues that a portfolio trades in or a followed trader has coins
        in, the more important first: what Hyperliquid does not list is priced there
    """

    on_marks: OnMarks
    trader_events: TraderEvents
    on_trader_events: OnTraderEvents
    may_restart: MayRestart
    live_wanted: Callable[[], bool]
    live_codes: Callable[[], Collection[str]]
    live_sections: Callable[[], Sequence[VenueSection]]


def guarded(event: str, step: Callable[[], None]) -> None:
    """Run one step of an endless loop; a service that is away, or another fault, is logged and survived."""
    try:
        step()
    except (DatabaseError, InterfaceError) as error:
        log.warning(event, error=str(error))
        close_old_connections()
        connection.close()
    except redis.RedisError as error:
        log.warning(event, error=str(error))
    except Exception:
        log.exception(event)
