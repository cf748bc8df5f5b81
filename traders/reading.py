"""One event loop per thread for reading traders, with its sources, kept between tasks so connections live on.

Reads go on only while somebody waits in :meth:`ReadLoop.finished` or :meth:`ReadLoop.run`; between two
waits the caller may use the database as any synchronous code does.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Sequence
from contextvars import copy_context
from datetime import datetime
from typing import Any, TypeVar

from core.clock import WorldTime
from core.types import TraderKind
from traders.domain.reads import ReadResult
from traders.sources.base import PreparedSource, SourceHistory, TraderSource, source_make

T = TypeVar("T")
GATHER_S = 0.01
_local = threading.local()


class ReadLoop:
    """An event loop, the sources bound to it, and the reads that are under way."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._runner = asyncio.Runner()
        self._sources: dict[TraderKind, TraderSource] = {}
        self._pending: set[asyncio.Task[list[ReadResult]]] = set()

    def source(self, kind: TraderKind) -> TraderSource:
        """Return this loop's source of a kind."""
        if kind not in self._sources:
            self._sources[kind] = source_make(kind=kind)
        return self._sources[kind]

    def read(
        self, kind: TraderKind, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> list[ReadResult]:
        """Read some traders to the end."""
        source = self._prepared(kind, keys, clock=clock, now=now)
        return self.run(source.read(keys, clock=clock, now=now, max_wait_s=max_wait_s))

    def history(self, kind: TraderKind, key: str, *, clock: WorldTime, now: datetime) -> SourceHistory:
        """Ask what is known of a trader's past.

        :raises RetryLater: no usable answer
        """
        source = self._prepared(kind, [key], clock=clock, now=now)
        return self.run(source.history(key, clock=clock, now=now))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end, in the caller's context: what it asks is asked on the same behalf."""
        return self._runner.run(coroutine, context=copy_context())

    def start(
        self, kind: TraderKind, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> asyncio.Task[list[ReadResult]]:
        """Begin a read; it proceeds while someone waits in :meth:`finished`."""
        source = self._prepared(kind, keys, clock=clock, now=now)
        read = source.read(keys, clock=clock, now=now, max_wait_s=max_wait_s)
        task = self._runner.get_loop().create_task(read)
        self._pending.add(task)
        return task

    def finished(self, *, timeout_s: float) -> set[asyncio.Task[list[ReadResult]]]:
        """Wait until at least one read has ended, at most ``timeout_s``; return those that have."""
        if not self._pending:
            return set()
        done, self._pending = self._runner.run(_first_done(self._pending, timeout_s))
        return done

    def abandon(self) -> set[asyncio.Task[list[ReadResult]]]:
        """Cancel every read under way and return them."""
        tasks, self._pending = self._pending, set()
        for task in tasks:
            task.cancel()
        if tasks:
            self._runner.run(_settled(tasks))
        return tasks

    def _prepared(
        self, kind: TraderKind, keys: Sequence[str], *, clock: WorldTime, now: datetime
    ) -> TraderSource:
        """Return a source that has fetched what it needs of our own database."""
        source = self.source(kind)
        if isinstance(source, PreparedSource):
            source.prepare(keys, clock=clock, now=now)
        return source

    def close(self) -> None:
        """Cancel what is under way, close the sources and the loop."""
        self.abandon()
        for source in self._sources.values():
            self._runner.run(source.close())
        self._sources.clear()
        self._runner.close()


def read_loop() -> ReadLoop:
    """Return this thread's read loop, made on first use and again after a fork."""
    current: ReadLoop | None = getattr(_local, "loop", None)
    if current is None or current.pid != os.getpid():
        current = _local.loop = ReadLoop()
    return current


def read_loop_close() -> None:
    """Close this thread's read loop, if there is one."""
    current: ReadLoop | None = getattr(_local, "loop", None)
    if current is not None:
        _local.loop = None
        current.close()


async def _first_done(
    tasks: set[asyncio.Task[T]], timeout_s: float
) -> tuple[set[asyncio.Task[T]], set[asyncio.Task[T]]]:
    done, pending = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    if done and pending:  # what ends at nearly the same moment is stored together
        also, pending = await asyncio.wait(pending, timeout=GATHER_S)
        done |= also
    return done, pending


async def _settled(tasks: set[asyncio.Task[T]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
