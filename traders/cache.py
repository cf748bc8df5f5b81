"""The 10 s position cache in Redis, shared by all processes: a request inside it costs no call (SYN-2)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec
import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from traders.domain.reads import ReadResult
from traders.payloads import read_dump, read_load
from traders.sources.base import SourceHistory

HISTORY_KEPT_S = 60
log = structlog.get_logger(__name__)


class _Entry(msgspec.Struct):
    asked_at: datetime
    read: dict[str, object]


def reads_cached(*, kind: str, keys: Sequence[str], now: datetime) -> dict[str, ReadResult]:
    """Return the reads of these traders that were asked for less than ``POSITION_CACHE_SECONDS`` ago.

    Without Redis nothing is cached; that is logged, and the read itself then says so (its budget needs
    Redis too).
    """
    if not keys or not settings.POSITION_CACHE_SECONDS:
        return {}
    try:
        values = _redis().mget([_name(kind, key) for key in keys])
    except redis.RedisError as error:
        log.warning("position_cache_unreachable", error=str(error))
        return {}
    found = {}
    for key, value in zip(keys, values, strict=True):
        if value is None:
            continue
        entry = msgspec.json.decode(value, type=_Entry)
        if (now - entry.asked_at).total_seconds() < settings.POSITION_CACHE_SECONDS:
            found[key] = ReadResult(
                key=key, asked_at=entry.asked_at, read=read_load(entry.read), from_cache=True
            )
    return found


def reads_cache(*, results: Iterable[tuple[str, ReadResult]]) -> None:
    """Keep good reads, each with its trader's kind, for ``POSITION_CACHE_SECONDS``."""
    kept_s = settings.POSITION_CACHE_SECONDS
    fresh = [(kind, result) for kind, result in results if result.read is not None and not result.from_cache]
    if not fresh or not kept_s:
        return
    try:
        with _redis().pipeline(transaction=False) as pipeline:
            for kind, result in fresh:
                read = read_dump(result.read) if result.read else {}
                entry = msgspec.json.encode(_Entry(asked_at=result.asked_at, read=read))
                pipeline.set(_name(kind, result.key), entry, ex=kept_s)
            pipeline.execute()
    except redis.RedisError as error:
        log.warning("position_cache_unreachable", error=str(error))


def history_cached(*, kind: str, key: str) -> SourceHistory | None:
    """Return what was last learnt of a trader's past, if that was less than a minute ago."""
    try:
        value = _redis().get(f"traders:history:{kind}:{key}")
    except redis.RedisError as error:
        log.warning("position_cache_unreachable", error=str(error))
        return None
    return msgspec.json.decode(value, type=SourceHistory) if value is not None else None


def history_cache(*, kind: str, key: str, history: SourceHistory) -> None:
    """Keep what was learnt of a trader's past for a minute: it costs ten times what a read does."""
    try:
        _redis().set(f"traders:history:{kind}:{key}", msgspec.json.encode(history), ex=HISTORY_KEPT_S)
    except redis.RedisError as error:
        log.warning("position_cache_unreachable", error=str(error))


def _name(kind: str, key: str) -> str:
    return f"traders:read:{kind}:{key.lower()}"


def _redis() -> redis.Redis:
    return _redis_of(os.getpid(), settings.REDIS_URL)


@lru_cache(maxsize=4)
def _redis_of(_pid: int, url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 1), health_check_interval=30
    )
