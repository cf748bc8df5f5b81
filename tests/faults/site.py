"""The whole site as `make run` starts it, in a directory of its own, and what a test may do to it.

Only processes of this site are ever ended: their ids stand in ``var/run/processes.json``, which the
site's own supervisor writes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import redis

from portfolio_site.config import BASE_DIR, embedded_redis_url, socket_dir_for
from portfolio_site.processes import Child, ChildSpec
from tests.running import free_port, http_status, wait_until

SPEED = 3000  # world seconds a second: something is traded every few seconds
START_S = 120.0
RECOVERY_S = 45.0
# A worker killed between claim and request keeps its portfolio from opening for up to 70 s (ADR 10).
TRADING_S = 100.0
READY = "Ready: "
# The developer's environment, and that of the test run, have no say.
_CLEARED = ("DATABASE_URL", "REDIS_URL", "DATABASE_POOL", "DEBUG", "ALLOWED_HOSTS", "HTTPS", "HOST")
_DROPPED = ("DJANGO_SETTINGS_MODULE", "SECRET_KEY", "PYTEST_CURRENT_TEST")


class Site:
    """One running site."""

    def __init__(self) -> None:
        self.var_dir = Path(tempfile.mkdtemp(prefix="ensemble-faults-"))
        self.var_dir.chmod(0o711)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **dict.fromkeys(_CLEARED, ""),
            "VAR_DIR": str(self.var_dir),
            "PORT": str(self.port),
            "REPLAY_SPEED": str(SPEED),
            "LOG_LEVEL": "INFO",
        }
        self._supervisor: Child | None = None

    # ---------------------------------------------------------------- start and stop
    def start(self) -> Site:
        """Start it and wait until it says that it is ready."""
        self._supervisor = Child(spec=self.spec("site", "-m", "portfolio_site.run"))
        wait_until(self._ready, timeout_s=START_S, what="the site's start")
        return self

    def spec(self, name: str, *arguments: str) -> ChildSpec:
        """Return how to start a Python program on this site, as it would start its own."""
        return ChildSpec(
            name=name,
            argv=["env", *(f"-u{name}" for name in _DROPPED), sys.executable, *arguments],
            log_path=self.var_dir / f"{name}.log",
            environment=self.environment,
        )

    def _ready(self) -> bool:
        assert self._supervisor is not None
        assert self._supervisor.exit_code() is None, self._supervisor.log_text()
        return READY in self._supervisor.log_text()

    def stop(self) -> str:
        """End it in order and remove its files; return what it said."""
        if self._supervisor is None:
            return ""
        left = dict(self.processes()) if self._state_path.exists() else {}
        self._supervisor.stop_ask()
        in_time = self._supervisor.wait(timeout_s=25)
        self._supervisor.kill()
        said = self._supervisor.log_text()
        self._supervisor = None
        try:
            assert in_time, f"the site did not stop within 25 s: {said}"
            assert not [pid for pid in left.values() if Path(f"/proc/{pid}").exists()], "processes were left"
        finally:
            shutil.rmtree(self.var_dir, ignore_errors=True)
        return said

    def abandon(self) -> None:
        """End it and leave its files where they are."""
        if self._supervisor is not None:
            self._supervisor.stop_ask()
            self._supervisor.wait(timeout_s=25)
            self._supervisor.kill()
            self._supervisor = None

    # ---------------------------------------------------------------- its processes
    @property
    def _state_path(self) -> Path:
        return self.var_dir / "run" / "processes.json"

    def processes(self) -> dict[str, int]:
        """Return the process id of each part, as the supervisor knows them."""
        return {name: int(pid) for name, pid in json.loads(self._state_path.read_text()).items()}

    def pool_children(self, name: str) -> list[int]:
        """Return the ids of a Celery worker's children, the ones that run its tasks."""
        pid = self.processes()[name]
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one part; return the id it had."""
        pid = self.processes()[name]
        os.kill(pid, number)
        return pid

    def restarted_await(self, name: str, *, old_pid: int) -> None:
        """Wait until the supervisor has started a part again."""
        wait_until(
            lambda: self.processes().get(name) not in {None, old_pid},
            timeout_s=RECOVERY_S,
            what=f"a new {name}",
        )

    def ready_await(self) -> None:
        """Wait until database, Redis and pages answer."""
        wait_until(
            lambda: http_status(f"{self.url}/readyz") == 200, timeout_s=RECOVERY_S, what="a ready site"
        )

    def log_tail(self, name: str) -> str:
        """Return the end of a part's log, for a message."""
        path = self.var_dir / "log" / f"{name}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    # ---------------------------------------------------------------- its books
    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Connect to its database; each statement stands for itself unless a transaction is opened."""
        with psycopg.connect(
            host=str(socket_dir_for(var_dir=self.var_dir) / "postgres"),
            user="postgres",
            dbname="ensemble",
            autocommit=True,
            connect_timeout=5,
        ) as connection:
            yield connection

    def rows(self, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one statement."""
        with self.connection() as connection:
            return connection.execute(sql, values).fetchall()

    def one(self, sql: str, values: Any = ()) -> Any:
        """Return the only value of one statement."""
        ((value,),) = self.rows(sql, values)
        return value

    def redis(self) -> redis.Redis:
        """Return a client of its Redis."""
        return redis.Redis.from_url(embedded_redis_url(var_dir=self.var_dir))

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command on it."""
        environment = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env={**environment, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


class Progress:
    """What the site had done by some moment, to tell whether it has gone on since."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._since: datetime = site.one("SELECT clock_timestamp()")

    def await_all(self, *, timeout_s: float = TRADING_S) -> float:
        """Wait until every stage has worked again since; return the seconds it took.

        :raises AssertionError: a stage stands still, which one, and the ends of the logs
        """
        began = time.monotonic()
        try:
            wait_until(lambda: not self.missing(), timeout_s=timeout_s, what="work going on")
        except AssertionError as error:
            logs = {name: self._site.log_tail(name) for name in ("worker-orders", "worker-sync", "feed")}
            raise AssertionError(f"{error}; still missing: {self.missing()}; {logs}") from None
        return time.monotonic() - began

    def missing(self) -> list[str]:
        """Return the stages that have done nothing since."""
        try:
            (counts,) = self._site.rows(_PROGRESS, {"since": self._since})
        except psycopg.OperationalError as error:
            return [f"database ({error})"]
        return [name for name, count in zip(_STAGES, counts, strict=True) if not count]


_STAGES = ("marks", "reads", "cycles", "decisions", "orders", "fills", "valuations")
_PROGRESS = """
SELECT (SELECT count(*) FROM markets_mark WHERE received_at > %(since)s),
       (SELECT count(*) FROM traders_tradersnapshot WHERE received_at > %(since)s),
       (SELECT bool_and(ran_at > %(since)s) FROM engine_cyclestate),
       (SELECT count(*) FROM engine_decision WHERE at > %(since)s),
       (SELECT count(*) FROM execution_order WHERE created_at > %(since)s),
       (SELECT count(*) FROM execution_fill WHERE received_at > %(since)s),
       (SELECT bool_and(at > %(since)s) FROM positions_valuation)
"""
