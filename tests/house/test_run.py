"""OPS-3: `make run` from the outside: what stops it, and that it says why in one sentence."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.running import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
INHERITED = ("PATH", "HOME", "LANG", "PYTHONDONTWRITEBYTECODE")


@pytest.fixture
def var_dir() -> Iterator[Path]:
    """A place PostgreSQL's own user may enter when the tests run as root."""
    with TemporaryDirectory(prefix="ensemble-run-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


def run(*, var_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the site until it refuses to."""
    return subprocess.run(
        [sys.executable, "-m", "portfolio_site.run"],
        cwd=ROOT,
        env={
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "VAR_DIR": str(var_dir),
            "PORT": str(free_port()),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_busy_port(var_dir: Path) -> None:
    """OPS-3: the port is named, and what to type instead; nothing was started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(var_dir=var_dir, PORT=str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"Port {port} on 127.0.0.1 cannot be used (Address already in use); choose another, such as "
        f"`make run PORT={port + 1}`.\n"
    )
    assert not (var_dir / "postgres").exists()


def test_second_start_on_the_same_var(var_dir: Path) -> None:
    """OPS-3: two sites never share one var; the one that runs is named."""
    (var_dir / "run").mkdir()
    with (var_dir / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 4711, http://127.0.0.1:8000")
        lock.flush()
        done = run(var_dir=var_dir)
    assert done.returncode == 1
    assert done.stderr == (
        f"Ensemble already runs from {var_dir} (process 4711, http://127.0.0.1:8000); "
        f"stop it or set VAR_DIR.\n"
    )


def test_wrong_setting(var_dir: Path) -> None:
    """CFG-1: no traceback."""
    done = run(var_dir=var_dir, SYNC_INTERVAL_SECONDS="5")
    assert done.returncode == 2
    assert done.stderr == (
        "Configuration: SYNC_INTERVAL_SECONDS is 5; it must be a whole number between 10 and 600.\n"
    )


def test_var_that_is_no_directory(var_dir: Path) -> None:
    """OPS-3: the path is named."""
    (var_dir / "file").touch()
    done = run(var_dir=var_dir / "file")
    assert done.returncode == 1
    assert done.stderr == f"Cannot start: File exists ({var_dir / 'file'}).\n"


@pytest.mark.slow
def test_damaged_var(var_dir: Path) -> None:
    """OPS-3: a cluster whose version file is gone is refused, not made anew."""
    (var_dir / "postgres").mkdir()
    (var_dir / "postgres" / "base").mkdir()
    done = run(var_dir=var_dir)
    assert done.returncode == 1
    assert done.stderr.startswith(f"The embedded PostgreSQL does not run on {var_dir / 'postgres'} (")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_external_services_that_do_not_answer(var_dir: Path) -> None:
    """OPS-3: DATABASE_URL and REDIS_URL alone decide; no password reaches the terminal."""
    nobody = free_port()
    done = run(var_dir=var_dir, REDIS_URL=f"redis://:hush@127.0.0.1:{nobody}/0")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Redis does not answer (Error 111 connecting to 127.0.0.1:{nobody}.")
    assert "hush" not in done.stderr

    both = {"DATABASE_URL": f"postgres://u:hush@127.0.0.1:{nobody}/x"}
    done = run(var_dir=var_dir, **both)
    assert done.returncode == 1
    assert done.stderr.startswith("PostgreSQL does not answer (")
    assert "hush" not in done.stderr
