"""Real processes for tests: Celery workers, the ASGI server, on the test's database, ended by their ids."""

import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from portfolio_site.processes import Child, ChildSpec, children_stop

ALL_QUEUES = ("sync", "plan", "orders", "exits", "commands", "upkeep", "alerts")
START_TIMEOUT_S = 60.0


def wait_until(
    condition: Callable[[], object], *, timeout_s: float = 20.0, what: str = "the condition"
) -> object:
    """Return the first true answer of `condition`, asked every 20 ms.

    :raises AssertionError: it stayed false for `timeout_s`
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout_s:.0f} s")
        time.sleep(0.02)


def free_port() -> int:
    """Return a loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def http_status(url: str, *, timeout_s: float = 5.0) -> int:
    """Return the status a GET is answered with, 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - our own loopback server
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (urllib.error.URLError, OSError):
        return 0


class TestProcesses:
    """Starts processes on one test's database and ends those still running when the test is over."""

    __test__ = False

    def __init__(self, *, database: str, log_dir: Path, worker_alive: Callable[[str], bool]) -> None:
        self._environment = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "ENSEMBLE_TEST_DATABASE": database,
            "LOG_LEVEL": "INFO",
        }
        self._log_dir = log_dir
        self._worker_alive = worker_alive
        self._children: list[Child] = []

    def start(self, *, name: str, argv: Sequence[str]) -> Child:
        """Start `python <argv>`; its output is in `child.log_text()`."""
        spec = ChildSpec(
            name=name,
            argv=[sys.executable, *argv],
            log_path=self._log_dir / f"{name}.log",
            environment=self._environment,
        )
        child = Child(spec=spec)
        self._children.append(child)
        return child

    def worker(
        self, *, name: str = "tests", queues: Sequence[str] = ALL_QUEUES, concurrency: int = 1
    ) -> Child:
        """Start a Celery worker on `queues` and return it when its main loop turns."""
        child = self.start(
            name=f"worker-{name}",
            argv=[
                *("-m", "celery", "-A", "portfolio_site", "worker", "-Q", ",".join(queues)),
                *("-c", str(concurrency), "-n", f"{name}@%h"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
        )
        self._ready_await(child, lambda: self._worker_alive(name))
        return child

    def web(self, *, port: int | None = None) -> tuple[str, Child]:
        """Start the ASGI server; return its base address (`http://127.0.0.1:<port>`) and the process."""
        port = port or free_port()
        child = self.start(
            name=f"web-{port}",
            argv=[
                *(
                    "-m",
                    "uvicorn",
                    "portfolio_site.asgi:application",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(port),
                ),
                *("--lifespan", "off", "--log-level", "warning", "--no-access-log"),
            ],
        )
        self._ready_await(child, lambda: http_status(f"http://127.0.0.1:{port}/readyz") == 200)
        return f"http://127.0.0.1:{port}", child

    def stop_all(self) -> None:
        """End what is still running."""
        children_stop(children=self._children, timeout_s=10)

    def _ready_await(self, child: Child, ready: Callable[[], bool]) -> None:
        def ready_or_dead() -> bool:
            if child.exit_code() is not None:
                raise AssertionError(f"{child.spec.name} ended at once: {child.log_text()}")
            return ready()

        try:
            wait_until(ready_or_dead, timeout_s=START_TIMEOUT_S, what=f"{child.spec.name} ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{child.log_text()}") from None
