"""How the live prices do, kept in Redis for health, metrics and pages: the feed writes it, all may read it.

It runs out by itself: nothing there means that no feed is running.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
import redis

KEY: Final = "ensemble:feed:live"
KEPT_S: Final = 30


class VenueState(msgspec.Struct, frozen=True):
    """How the prices of one kind of market at another venue do.

    :param wanted: instruments whose prices are wanted there now
    :param refused: tickers that held no price to go by
    :param error: why it could not be asked last, empty where it could
    """

    venue: str
    wanted: int
    socket_since: datetime | None
    socket_heard_at: datetime | None
    socket_lost: int
    socket_why: str
    garbage: int
    refused: int
    error: str


class FeedState(msgspec.Struct, frozen=True):
    """One look at the feed.

    :param wanted: somebody needs live prices; else nothing below runs
    :param socket_since: since when the socket is connected, None while prices are polled
    :param socket_heard_at: when its last message came
    :param socket_lost: connections lost or refused since the feed began
    :param socket_why: what ended the last one
    :param garbage: socket messages that could not be read
    :param told: prices written to the tape since the feed began
    :param refused: quotes that were no price
    :param doubted: jumps that waited for a second quote
    :param waiting: ticks that wait for Redis to come back
    :param thinned: ticks given up while Redis was away
    :param tape_entries: flushes of ticks, of all worlds, that are on the tape now
    :param venues: other venues whose prices are wanted
    """

    at: datetime
    wanted: bool
    socket_since: datetime | None
    socket_heard_at: datetime | None
    socket_lost: int
    socket_why: str
    garbage: int
    told: int
    refused: int
    doubted: int
    waiting: int
    thinned: int
    tape_entries: int
    venues: tuple[VenueState, ...] = ()


def feed_state_write(*, client: redis.Redis, state: FeedState) -> None:
    """Keep the newest look.

    :raises redis.RedisError: Redis is away
    """
    client.set(KEY, msgspec.json.encode(state), ex=KEPT_S)


def feed_state_read(*, client: redis.Redis) -> FeedState | None:
    """Return the newest look, None where no feed has run for 30 s.

    :raises redis.RedisError: Redis is away
    """
    kept: Any = client.get(KEY)
    return None if kept is None else msgspec.json.decode(kept, type=FeedState)
