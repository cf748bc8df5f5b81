"""`make run` itself: how long a stranger waits, and what all its processes need (OPS-3).

Each figure works on a fresh clone of this repository's last commit in a temporary directory, with a port and
a var/ of its own, and leaves nothing behind.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.running import free_port

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 20.0
COLD_START_GOAL_S = 90.0
SECOND_START_GOAL_S = 10.0
STOP_GOAL_S = 10.0
MEMORY_GOAL_MIB = 1536.0
SETTLE_S = 60.0
INHERITED = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PYENV_ROOT")


@contextmanager
def _fresh_clone() -> Iterator[Path]:
    with TemporaryDirectory(prefix="ensemble-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        clone = Path(name) / "ensemble"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
        yield clone


class _Site:
    """`make run` in a clone, from the command to the line that says it is ready."""

    def __init__(self, *, clone: Path, environment: dict[str, str] | None = None) -> None:
        kept = {name: os.environ[name] for name in (*INHERITED, "HOME") if name in os.environ}
        started = time.monotonic()
        self._output = (clone / "run.out").open("w+")
        self._make = subprocess.Popen(
            ["make", "run", f"PORT={free_port()}"],
            cwd=clone,
            env=kept | (environment or {}),
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while not self._says("Demo sign-in:"):
            if self._make.poll() is not None or time.monotonic() - started > START_TIMEOUT_S:
                self.stop()
                raise RuntimeError(f"make run did not become ready: {(clone / 'run.out').read_text()}")
            time.sleep(0.05)
        self.seconds_to_ready = time.monotonic() - started

    def memory_mib(self) -> float:
        """Return the memory of all processes, shared pages counted once (proportional set size)."""
        top = psutil.Process(self._make.pid)
        total = 0
        for process in [top, *top.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        return total / 2**20

    def stop(self) -> float:
        """Press Ctrl-C; return how long everything took to end."""
        started = time.monotonic()
        everything = []
        if self._make.poll() is None:
            everything = psutil.Process(self._make.pid).children(recursive=True)
            os.killpg(self._make.pid, signal.SIGINT)
        self._make.wait(STOP_TIMEOUT_S)
        _, left = psutil.wait_procs(everything, timeout=STOP_TIMEOUT_S)
        self._output.close()
        if left:
            raise RuntimeError(f"still running after Ctrl-C: {left}")
        return time.monotonic() - started

    def _says(self, words: str) -> bool:
        return words in Path(self._output.name).read_text()


def cold_start() -> list[dict[str, object]]:
    """Clone to Ready with packages from the local cache, a second start, its stop, then without a cache."""
    figures = []
    with _fresh_clone() as clone:
        site = _Site(clone=clone)
        figures.append(_figure("cold_start", site.seconds_to_ready, COLD_START_GOAL_S))
        site.stop()
        site = _Site(clone=clone)
        figures.append(_figure("second_start", site.seconds_to_ready, SECOND_START_GOAL_S))
        figures.append(_figure("stop", site.stop(), STOP_GOAL_S))
        shutil.rmtree(clone / ".venv")
        shutil.rmtree(clone / "var", ignore_errors=True)
        empty = clone / "no-cache"
        site = _Site(clone=clone, environment={"UV_CACHE_DIR": str(empty), "PIP_CACHE_DIR": str(empty)})
        figures.append(_figure("cold_start_empty_cache", site.seconds_to_ready, COLD_START_GOAL_S))
        site.stop()
    return figures


def memory_total() -> list[dict[str, object]]:
    """Memory of all processes of `make run` after a minute of the demo."""
    with _fresh_clone() as clone:
        site = _Site(clone=clone)
        try:
            time.sleep(SETTLE_S)
            used = site.memory_mib()
        finally:
            site.stop()
    return [
        {
            "name": "memory_total",
            "value": round(used, 1),
            "unit": "MiB",
            "baseline": None,
            "goal": f"<= {MEMORY_GOAL_MIB:.0f}",
            "holds": used <= MEMORY_GOAL_MIB,
        }
    ]


def _figure(name: str, seconds: float, goal_s: float) -> dict[str, object]:
    return {
        "name": name,
        "value": round(seconds, 2),
        "unit": "s",
        "baseline": None,
        "goal": f"<= {goal_s:.0f}",
        "holds": seconds <= goal_s,
    }


FIGURES = {"cold_start": cold_start, "memory_total": memory_total}
