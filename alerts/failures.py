"""Keeping what failed in the background, for those who run the server: where, never with which values."""

from __future__ import annotations

import traceback
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final

from alerts.models import TaskFailure

KEPT: Final = timedelta(days=30)
KEPT_MOST: Final = 1000
FRAMES_MOST: Final = 40


def failure_keep(
    *, task: str, worker: str, error: BaseException, trace: TracebackType | None, at: datetime
) -> TaskFailure:
    """Keep that a task failed.

    A message of an error may quote anything, so its class alone is kept; of the trace only places.
    """
    frames = traceback.extract_tb(trace)[-FRAMES_MOST:]
    lines = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    kind = type(error)
    return TaskFailure.objects.create(
        at=at,
        task=task[:80],
        worker=worker[:120],
        error=f"{kind.__module__}.{kind.__qualname__}"[:120],
        trace="\n".join(lines),
    )


def failures_prune(*, now: datetime) -> int:
    """Delete failures older than 30 days, and all but the newest thousand; return how many."""
    old, _ = TaskFailure.objects.filter(at__lt=now - KEPT).delete()
    newest = TaskFailure.objects.order_by("-pk").values_list("pk", flat=True)
    floor = newest[KEPT_MOST - 1 : KEPT_MOST].first()
    many, _ = TaskFailure.objects.filter(pk__lt=floor).delete() if floor is not None else (0, {})
    return old + many
