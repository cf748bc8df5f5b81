"""Telling open pages that something changed. The page reads the database; a message only says "look again".

A message that is lost (Redis restarting) costs at most the hub's next heartbeat, so sending never
raises into the work that caused it; it is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


def portfolio_group(portfolio_id: int) -> str:
    """Return the channel group of one portfolio's sockets."""
    return f"portfolio.{portfolio_id}"


def world_group(world: str) -> str:
    """Return the channel group of everyone who looks at prices of one world."""
    return f"world.{world.replace(':', '.')}"


def _poke(groups: Iterable[str]) -> None:
    """Send "look again" to each group; one retry, since the first send after a Redis restart fails."""
    layer = get_channel_layer()
    for group in groups:
        for attempt in (1, 2):
            try:
                async_to_sync(layer.group_send)(group, {"type": "poke"})
                break
            except (RedisError, OSError) as error:
                if attempt == 2:
                    logger.warning(
                        "page update for %s not sent (%s); open pages refresh within 5 s", group, error
                    )


def portfolio_changed(*, portfolio_id: int) -> None:
    """Tell the pages of one portfolio to look again once the current transaction commits."""
    transaction.on_commit(partial(_poke, [portfolio_group(portfolio_id)]))


def portfolios_changed(*, portfolio_ids: Iterable[int]) -> None:
    """Tell the pages of several portfolios to look again once the current transaction commits."""
    transaction.on_commit(partial(_poke, [portfolio_group(pk) for pk in portfolio_ids]))


def world_changed(*, world: str) -> None:
    """Tell every page that shows prices of this world to look again."""
    _poke([world_group(world)])
