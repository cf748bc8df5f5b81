"""The demo trades while its parts are ended by force: it recovers alone, books clean (EXE-6, OPS-2)."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.books import books_are_clean
from tests.faults.page import Page
from tests.faults.site import RECOVERY_S, Progress, Site
from tests.running import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]
KILLS = 4
SEED = 20251017

# A transaction that waits for a lock in this statement, and has written to that table.
_WAITING = """
SELECT waiting.pid FROM pg_stat_activity AS waiting
  JOIN pg_locks AS wrote ON wrote.pid = waiting.pid AND wrote.mode = 'RowExclusiveLock' AND wrote.granted
  JOIN pg_class AS written ON written.oid = wrote.relation
 WHERE waiting.wait_event_type = 'Lock' AND waiting.query LIKE %(query)s AND written.relname = %(wrote)s
"""


@contextmanager
def held_up(site: Site, *, lock: str, query: str, wrote: str) -> Iterator[None]:
    """Hold a lock so that a worker's transaction stands still at a known point, and go on when one does.

    Where something else waits for the lock first, all is let go and tried again.

    :param lock: the statement that takes the lock
    :param query: what the worker's waiting statement looks like
    :param wrote: a table that the same transaction has written to
    """
    values = {"query": query, "wrote": wrote}
    deadline = time.monotonic() + RECOVERY_S
    with site.connection() as connection:
        while time.monotonic() < deadline:
            with connection.transaction():
                connection.execute(lock)
                if soon(lambda: bool(site.rows(_WAITING, values))):
                    yield
                    return
    raise AssertionError(f"no worker was held up in {query}")


def soon(condition: Callable[[], bool]) -> bool:
    """Tell whether a condition comes true within 1.5 s."""
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        if condition():
            return True
    return False


def worker_kill(site: Site) -> None:
    """End the orders worker and all its children, and see that it comes back."""
    children = site.pool_children("worker-orders")
    old_pid = site.kill("worker-orders")
    site.restarted_await("worker-orders", old_pid=old_pid)
    wait_until(lambda: not any(map(_runs, children)), timeout_s=5, what="the end of its children")


def _runs(pid: int) -> bool:
    """Tell whether a process still runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_killed_mid_cycle_leaves_nothing_half_done(site: Site) -> None:
    """DESIGN: killed with everything written and nothing committed, and killed at the first write."""
    no_decisions = "LOCK TABLE engine_decision IN SHARE MODE"  # what a cycle writes last
    account = "allocation_capitalaccount"
    with held_up(site, lock=no_decisions, query='INSERT INTO "engine_decision"%', wrote=account):
        worker_kill(site)
    progress = Progress(site)
    no_bookings = "SELECT * FROM allocation_capitalaccount FOR UPDATE"
    with held_up(site, lock=no_bookings, query='UPDATE "allocation_capitalaccount"%', wrote=account):
        worker_kill(site)
    progress.await_all()
    books_are_clean(site)


def test_a_worker_killed_between_venue_and_books_doubles_nothing(site: Site) -> None:
    """EXE-3, EXE-6: the venue has the order, our books lack its answer; it is asked for, not sent again."""
    order_ids = _caught_between_venue_and_books(site)
    wait_until(
        lambda: (
            not site.rows(
                "SELECT id FROM execution_order WHERE id = ANY(%s) AND status = 'pending'", [order_ids]
            )
        ),
        timeout_s=RECOVERY_S,
        what="the venue's answer",
    )
    left_pending = (
        "SELECT to_status FROM execution_orderevent WHERE order_id = ANY(%s) AND from_status = 'pending'"
    )
    statuses = [row[0] for row in site.rows(left_pending, [order_ids])]
    assert len(statuses) == len(order_ids)
    assert "rejected" not in statuses, "the venue knows them"
    books_are_clean(site)


def _caught_between_venue_and_books(site: Site) -> list[int]:
    """Kill the worker while the venue has an order and its answer is not kept; return the orders' ids."""
    on_its_way = "SELECT id FROM execution_order WHERE status = 'pending' AND submit_claimed_at IS NULL"
    arrived = """
        SELECT o.id FROM execution_order AS o JOIN execution_paperorder USING (client_order_id)
         WHERE o.status = 'pending' AND o.submit_claimed_at IS NOT NULL
    """
    deadline = time.monotonic() + RECOVERY_S
    with site.connection() as connection:
        while time.monotonic() < deadline:
            if not connection.execute(on_its_way).fetchall():
                continue
            with connection.transaction():
                connection.execute("LOCK TABLE execution_orderevent IN SHARE MODE")  # no answer can be kept
                if soon(lambda: bool(site.rows(arrived))):
                    order_ids = [row[0] for row in site.rows(arrived)]
                    worker_kill(site)
                    return order_ids
    raise AssertionError("no order was caught between venue and books")


def test_workers_killed_at_random_moments(site: Site) -> None:
    """EXE-6: whole workers and single children, whatever they were doing."""
    moments = random.Random(SEED)
    for _ in range(KILLS):
        _orders_go_on(site, for_s=moments.uniform(0.1, 2.0))
        child = moments.choice(site.pool_children("worker-orders"))
        os.kill(child, signal.SIGKILL)
        wait_until(lambda child=child: not _runs(child), what="the child's end")
        wait_until(
            lambda: len(site.pool_children("worker-orders")) == 2, timeout_s=RECOVERY_S, what="a new child"
        )
    worker_kill(site)
    sync_pid, feed_pid = site.kill("worker-sync"), site.kill("feed")
    site.restarted_await("worker-sync", old_pid=sync_pid)
    site.restarted_await("feed", old_pid=feed_pid)
    beat_pid = site.kill("beat")
    site.restarted_await("beat", old_pid=beat_pid)
    Progress(site).await_all()
    books_are_clean(site)


def _orders_go_on(site: Site, *, for_s: float) -> None:
    """Let it work for a while, at least until something was decided."""
    deadline = time.monotonic() + for_s
    newest = site.one("SELECT max(id) FROM engine_decision")
    wait_until(
        lambda: time.monotonic() > deadline and site.one("SELECT max(id) FROM engine_decision") > newest,
        timeout_s=RECOVERY_S,
        what="decisions going on",
    )


def test_redis_restarted(site: Site) -> None:
    """EXE-6, VIEW-2: messages are lost, intents are not; workers and open pages find their way back."""
    with Page(site=site, portfolio_id=_first_portfolio(site)) as page:
        for number in (signal.SIGTERM, signal.SIGKILL):
            old_pid = site.kill("redis", number)
            site.restarted_await("redis", old_pid=old_pid)
            site.ready_await()
            progress = Progress(site)
            _pushed_again(page)
            progress.await_all()
        page.resync()
    books_are_clean(site)


def _pushed_again(page: Page) -> None:
    """Wait until changes come more often than the heartbeat alone, one in 5 s, would bring them."""
    page.listen_until(
        lambda: page.changes_since(time.monotonic() - 4) >= 3, timeout_s=RECOVERY_S, what="pushed changes"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["restarted", "crashed"])
def test_postgres_restarted(site: Site, number: signal.Signals) -> None:
    """EXE-6, VIEW-2: in order or by force; every process reconnects, and open pages say what they know."""
    with Page(site=site, portfolio_id=_first_portfolio(site)) as page:
        old_pid = site.kill("postgres", number)
        gone_s = time.monotonic()
        page.listen_until(lambda: page.stale, timeout_s=RECOVERY_S, what="word that the page is stale")
        site.restarted_await("postgres", old_pid=old_pid)
        site.ready_await()
        progress = Progress(site)
        page.listen_until(lambda: not page.stale, timeout_s=RECOVERY_S, what="a fresh snapshot")
        _pushed_again(page)
        assert page.changes_since(gone_s) > 0
        progress.await_all()
        page.resync()
    books_are_clean(site)


def test_a_page_that_was_open_all_along_equals_the_database(site: Site) -> None:
    """VIEW-2: after some seconds of trading, old snapshot + changes = fresh snapshot."""
    with Page(site=site, portfolio_id=_first_portfolio(site)) as page:
        first = page.view
        page.listen_until(lambda: len(page.changes) >= 8, timeout_s=RECOVERY_S, what="eight changes")
        assert page.resync() != first


def _first_portfolio(site: Site) -> int:
    return int(site.one("SELECT min(id) FROM accounts_portfolio"))
