"""A Redis client for asking whether it is there: one attempt, short limits, no retries.

The usual client retries a refused connection for seconds, which would hold up a health page or a worker's
main loop.
"""

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry


def redis_probe(*, timeout_s: float = 2.0) -> redis.Redis:
    """Return a client of the site's Redis; use it in a `with` block."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
