"""PostgreSQL and Redis of one test run, shared by its workers, started by the first that needs them.

Run as a program it is their keeper: it ends them, and removes their files, when the test run's first process
ends in any way, so neither an interrupt nor a crash leaves anything behind.
"""

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from portfolio_site.embedded import EmbeddedPostgres, EmbeddedRedis
from portfolio_site.processes import children_stop

START_TIMEOUT_S = 90.0
# The cluster is thrown away after the run: nothing has to reach the disk.
DISPOSABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


def services_ensure(*, var_dir: Path, run_pid: int) -> None:
    """Start the services of this test run unless one of its processes has; return when they answer."""
    var_dir.mkdir(mode=0o711, exist_ok=True)
    ready = var_dir / "ready"
    with (var_dir / "starting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists():
            return
        with (var_dir / "keeper.log").open("wb") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.services", str(var_dir), str(run_pid)],
                cwd=Path(__file__).resolve().parent.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists():
            if keeper.poll() is not None or time.monotonic() > deadline:
                told = (var_dir / "keeper.log").read_text()
                raise RuntimeError(f"the test run's PostgreSQL and Redis did not start: {told}")
            time.sleep(0.02)
        keeper.returncode = 0  # it outlives this process on purpose: no warning about a child not waited for


def main() -> None:
    """Start both, say so, wait for the end of the test run, clean up."""
    var_dir, run_pid = Path(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    run = os.pidfd_open(run_pid)
    children = []
    try:
        children.append(EmbeddedPostgres(var_dir=var_dir, settings=DISPOSABLE).start())
        children.append(EmbeddedRedis(var_dir=var_dir).start())
        (var_dir / "ready").touch()
        select.select([run], [], [])
    finally:
        children_stop(children=children, timeout_s=10)
        shutil.rmtree(var_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
