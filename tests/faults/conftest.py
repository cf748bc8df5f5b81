"""One site for all faults of a run: it is started once, and must survive them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.site import Progress, Site


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """The demo on its own PostgreSQL and Redis, at high speed, once it trades."""
    running = Site()
    try:
        running.start()
        Progress(running).await_all(timeout_s=60)
        yield running
    finally:
        running.stop()
