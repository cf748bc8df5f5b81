"""A storm: parts of a trading site are killed at random while its venue fails, and nothing may come of it.

What is shown afterwards (EXE-6, BEY-6): no order doubled, no fill lost, no book that differs, no outcome left
unknown, nothing committed lost with the database; and for how long positions were not watched.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg

from core.clock import utc_now
from portfolio_site.processes import Child
from tests.faults.books import books_are_clean
from tests.faults.site import Progress, Site
from tests.running import wait_until

PAUSE_S: Final = (0.3, 6.0)
LOOK_AGAIN_AFTER: Final = 20  # kills, after which every stage must have worked again
VALUED_EVERY_S: Final = 2.0  # what beat asks for; a gap beyond it is time without a watch
RECOVERY_S: Final = 150.0
# Who is killed how often. A child of a worker is one that runs its tasks; a backend serves one connection.
VICTIMS: Final = {
    "child of worker-orders": 28,
    "worker-orders": 12,
    "child of worker-sync": 6,
    "worker-sync": 7,
    "worker-commands": 4,
    "worker-exits": 8,
    "child of worker-exits": 8,
    "worker-live": 2,
    "feed": 10,
    "web": 6,
    "beat": 6,
    "redis": 8,
    "postgres": 6,
    "backend of postgres": 7,
}
_COUNTS: Final = """
    SELECT (SELECT count(*) FROM execution_order), (SELECT count(*) FROM execution_fill),
           (SELECT count(*) FROM allocation_ledgerentry), (SELECT count(*) FROM execution_paperfill)
"""
_VALUED: Final = """
    SELECT worth.portfolio_id, worth.at,
           EXISTS (SELECT FROM positions_position AS held WHERE held.portfolio_id = worth.portfolio_id
                   AND held.status <> 'closed' AND held.quantity <> 0)
    FROM positions_valuation AS worth WHERE worth.at IS NOT NULL
"""
# Executions beyond what was ordered, where no fault made the venue execute twice.
_OVERFILLED: Final = "SELECT count(*) FROM execution_order WHERE filled_quantity > quantity"
_TWICE_TOLD: Final = "SELECT count(*) FROM execution_paperfault WHERE kind = 'twice'"
_FILLS_NOT_BOOKED: Final = """
    SELECT count(*) FROM execution_paperfill AS made WHERE made.told_at IS NULL AND NOT EXISTS (
        SELECT FROM execution_fill WHERE venue = 'paper' AND venue_fill_id = made.id::text)
"""


@dataclass
class Watch:
    """How long portfolios with open positions were not valued: nobody watched breakers and liquidation."""

    site: Site
    gaps_s: list[float] = field(default_factory=list)
    worst: tuple[float, datetime, datetime] | None = None
    _last: dict[int, datetime] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look four times a second until told to stop."""
        while not self._stop.wait(0.25):
            try:
                rows = self.site.rows(_VALUED)
            except psycopg.Error:
                continue  # nobody can be valued meanwhile either; the gap shows when it is over
            for portfolio_id, at, holds in rows:
                before = self._last.get(portfolio_id)
                self._last[portfolio_id] = at
                if before is not None and at > before and holds:
                    self._gap_keep(before, at)

    def _gap_keep(self, before: datetime, at: datetime) -> None:
        gap_s = max(0.0, (at - before).total_seconds() - VALUED_EVERY_S)
        self.gaps_s.append(gap_s)
        if self.worst is None or gap_s > self.worst[0]:
            self.worst = gap_s, before, at

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch in a thread meanwhile."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(timeout=10)


class Storm:
    """Kills parts of one site, by a seed."""

    def __init__(self, *, site: Site, seed: int, portfolios: int) -> None:
        self.site = site
        self.seed = seed
        self.killed: Counter[str] = Counter()
        self._killed_at: list[tuple[datetime, str]] = []
        self._moments = random.Random(seed)
        self._portfolios = portfolios
        self._watch = Watch(site)

    def rage(self, *, kills: int, until_s: float = float("inf")) -> dict[str, Any]:
        """Kill that many processes, prove that nothing came of it, and return the figures.

        :param until_s: on the monotonic clock: no kill after it
        :raises AssertionError: something did come of it
        """
        began_s = time.monotonic()
        with self._crowd(), self._watch.running():
            while self.killed.total() < kills and time.monotonic() < until_s:
                self._kill_one()
                if self.killed.total() % LOOK_AGAIN_AFTER == 0:
                    Progress(self.site).await_all(timeout_s=RECOVERY_S)
            Progress(self.site).await_all(timeout_s=RECOVERY_S)
        return {**self._proof(), "seconds": round(time.monotonic() - began_s, 1)}

    # ---------------------------------------------------------------- killing
    def _kill_one(self) -> None:
        time.sleep(self._moments.uniform(*PAUSE_S))
        name = self._moments.choices(list(VICTIMS), weights=list(VICTIMS.values()))[0]
        held = self._committed() if "postgres" in name else None
        pid = self._pid_of(name)
        if pid is None:
            return  # it is away already: another one next time
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.killed[name] += 1
        self._killed_at.append((utc_now(), name))
        if held is not None:
            now = self._committed()
            assert all(map(int.__ge__, now, held)), (
                f"committed rows were lost with the database: {held}, {now}"
            )

    def _committed(self) -> tuple[int, ...]:
        """Return how many orders, fills, ledger entries and fills of the venue there are, once it answers."""
        found: list[tuple[int, ...]] = []

        def read() -> bool:
            try:
                found.extend(self.site.rows(_COUNTS))
            except psycopg.Error:
                return False
            return True

        wait_until(read, timeout_s=RECOVERY_S, what="a database that answers")
        return found[-1]

    def _pid_of(self, name: str) -> int | None:
        """Return the id of a process of this site, None where it does not run now."""
        try:
            return self._pid_found(name)
        except (psycopg.Error, FileNotFoundError):
            return None  # it went away while we looked

    def _pid_found(self, name: str) -> int | None:
        part = name.rpartition(" of ")[2]
        pid = self.site.processes().get(part)
        if pid is None or not Path(f"/proc/{pid}").exists():
            return None
        if name.startswith("child of"):
            children = self.site.pool_children(part)
            return self._moments.choice(sorted(children)) if children else None
        if name.startswith("backend of"):
            backends = self.site.rows(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
                "AND pid <> pg_backend_pid() ORDER BY pid"
            )
            return int(self._moments.choice(backends)[0]) if backends else None
        return pid

    @contextmanager
    def _crowd(self) -> Iterator[None]:
        """Let portfolios trade and the venue fail meanwhile."""
        numbers = ("--seed", str(self.seed), "--portfolios", str(self._portfolios))
        crowd = Child(spec=self.site.spec("crowd", "-m", "tests.faults.crowd", *numbers))
        try:
            yield
            assert crowd.exit_code() is None, crowd.log_text()
        finally:
            crowd.stop_ask()
            crowd.wait(timeout_s=10)
            crowd.kill()

    # ---------------------------------------------------------------- proof
    def _proof(self) -> dict[str, Any]:
        """End the faults, let everything settle, and show that nothing is doubled, lost or different."""
        self.site.rows("UPDATE execution_paperfault SET remaining = 0 RETURNING id")
        books_are_clean(self.site, timeout_s=RECOVERY_S)
        books = self.site.one("SELECT count(*) FROM allocation_breakertrip WHERE kind = 'books'")
        assert books == 0, f"{books} times books differed"
        orphans = self.site.one("SELECT count(*) FROM execution_venueorphan")
        assert orphans == 0, f"{orphans} orders at the venue were nobody's"
        overfilled, twice = self.site.one(_OVERFILLED), self.site.one(_TWICE_TOLD)
        assert overfilled <= twice, f"{overfilled} orders overfilled, {twice} told"
        wait_until(
            lambda: self.site.one(_FILLS_NOT_BOOKED) == 0, timeout_s=RECOVERY_S, what="every fill booked"
        )
        orders, fills, _, _ = self._committed()
        gaps_s = sorted(self._watch.gaps_s)
        return {
            "seed": self.seed,
            "kills": self.killed.total(),
            "killed": dict(sorted(self.killed.items())),
            "orders": orders,
            "fills": fills,
            "faults_told": self.site.one("SELECT count(*) FROM execution_paperfault"),
            "doubled_orders": 0,
            "lost_fills": 0,
            "book_differences": 0,
            "unknown_left": 0,
            "overfills_told": overfilled,
            "unprotected_p50_s": round(percentile(gaps_s, 50), 2),
            "unprotected_p99_s": round(percentile(gaps_s, 99), 2),
            "unprotected_max_s": round(percentile(gaps_s, 100), 2),
            "killed_in_the_longest": self._killed_in_the_longest(),
        }

    def _killed_in_the_longest(self) -> list[str]:
        """Return who was killed in the longest time without a watch, or just before it, and when in it."""
        if self._watch.worst is None:
            return []
        _, begin, end = self._watch.worst
        return [
            f"{name} {(at - begin).total_seconds():+.1f} s"
            for at, name in self._killed_at
            if begin - timedelta(seconds=10) <= at <= end
        ]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest of sorted values that ``percent`` of them do not exceed; 0 of none."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)] if values else 0.0


def summary_append(*, path: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """Add a run to the file of all runs; return what they come to together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(figures) + "\n")
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    zeros = ("doubled_orders", "lost_fills", "book_differences", "unknown_left")
    return {
        "runs": len(runs),
        "kills": sum(run["kills"] for run in runs),
        **{name: sum(run[name] for run in runs) for name in zeros},
        "unprotected_p99_s_worst": max(run["unprotected_p99_s"] for run in runs),
    }
