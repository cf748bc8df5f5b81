"""`python -m portfolio_site.run`: the whole site on this machine, until Ctrl-C.

Without DATABASE_URL or REDIS_URL it brings PostgreSQL or Redis along. Whatever keeps it from starting is told
in one sentence, with a non-zero exit code.
"""

import fcntl
import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from types import FrameType
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured

from core.clock import SYSTEM_CLOCK
from portfolio_site.config import BASE_DIR, environment_load, socket_dir_for, var_dir_from
from portfolio_site.embedded import EmbeddedPostgres, EmbeddedRedis
from portfolio_site.processes import Child, ChildSpec, StartRefused
from portfolio_site.supervisor import Supervisor, last_line, procfile_specs

READY_TIMEOUT_S = 90.0
POLL_S = 0.1
WORKERS = ("orders", "sync", "exits")


def main() -> int:
    """Run the site; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        _site_run()
    except StartRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Configuration: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"Cannot start: {error.strerror or error} ({error.filename or 'no file named'}).\n")
        return 1
    except KeyboardInterrupt:
        _say("Stopped.")
    return 0


def _site_run() -> None:
    os.chdir(BASE_DIR)
    environment_load()
    from portfolio_site import settings

    var_dir = var_dir_from(environment=os.environ)
    host, port = settings.HOST, settings.PORT
    with _var_locked(var_dir=var_dir, address=_address(host, port)):
        _port_require(host=host, port=port)
        supervisor = Supervisor(state_path=var_dir / "run" / "processes.json")
        try:
            _services_start(supervisor=supervisor, var_dir=var_dir)
            _prepare(var_dir=var_dir)
            values = {"HOST": host, "PORT": str(port), "VAR_DIR": str(var_dir)}
            supervisor.apps_start(specs=procfile_specs(log_dir=var_dir / "log", values=values))
            _ready_await(supervisor=supervisor, address=_address(host, port))
            _say(f"Ready: {_address(host, port)}")
            sign_in = var_dir / "demo_sign_in.txt"
            if sign_in.exists():
                _say(f"Demo sign-in: {sign_in.read_text().strip()}")
            supervisor.keep_forever()
        except KeyboardInterrupt:
            _say("Stopping …")
            raise
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # stopping takes seconds at most and is not cut short
            supervisor.stop()


def _services_start(*, supervisor: Supervisor, var_dir: Path) -> None:
    if not os.environ.get("DATABASE_URL"):
        supervisor.service_adopt(child=EmbeddedPostgres(var_dir=var_dir).start())
    if not os.environ.get("REDIS_URL"):
        supervisor.service_adopt(child=EmbeddedRedis(var_dir=var_dir).start())


def _prepare(*, var_dir: Path) -> None:
    """Check, migrate and seed in a process of its own, so that this one stays small."""
    child = Child(
        spec=ChildSpec(
            name="prepare",
            argv=[sys.executable, "manage.py", "site_prepare"],
            log_path=var_dir / "log" / "prepare.log",
        )
    )
    try:
        while (code := child.exit_code()) is None:
            sleep(POLL_S / 4)
    except BaseException:
        child.kill()
        raise
    if code != 0:
        told = last_line(child.log_text()).removeprefix("CommandError: ")
        raise StartRefused(f"{told} See {child.spec.log_path}.")


def _ready_await(*, supervisor: Supervisor, address: str) -> None:
    deadline_s = SYSTEM_CLOCK.monotonic_s() + READY_TIMEOUT_S
    missing = ["web"]
    while missing:
        supervisor.all_alive_require()
        if SYSTEM_CLOCK.monotonic_s() > deadline_s:
            raise StartRefused(
                f"The site was not ready within {READY_TIMEOUT_S:.0f} s (missing: {', '.join(missing)}); "
                f"see var/log."
            )
        sleep(POLL_S)
        missing = _missing_parts(address=address)


def _missing_parts(*, address: str) -> list[str]:
    """Return what does not work yet: web, the parts `/readyz` finds wanting, workers not heard of."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:  # noqa: S310 - our own address
            body: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            body = json.load(error) if error.code == 503 else {"failing": [f"web answers {error.code}"]}
    except (OSError, ValueError):
        return ["web"]
    heard = {worker.partition("@")[0] for worker in body.get("workers", [])}
    unwatched = ["exit watch"] if (body.get("exits") or {}).get("unwatched") else []
    return [*body["failing"], *unwatched, *(f"worker-{name}" for name in WORKERS if name not in heard)]


@contextmanager
def _var_locked(*, var_dir: Path, address: str) -> Iterator[None]:
    """Hold `var_dir` alone while the site runs.

    :raises StartRefused: another one holds it
    """
    (var_dir / "run").mkdir(parents=True, exist_ok=True, mode=0o711)
    socket_dir_for(var_dir=var_dir).mkdir(parents=True, exist_ok=True, mode=0o711)
    with (var_dir / "run" / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StartRefused(
                f"Ensemble already runs from {var_dir} ({lock.read().strip()}); stop it or set VAR_DIR."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, {address}")
        lock.flush()
        yield


def _port_require(*, host: str, port: int) -> None:
    """See that nobody listens where the site will.

    :raises StartRefused: somebody does, or we may not
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartRefused(
                f"Port {port} on {host} cannot be used ({error.strerror}); choose another, such as "
                f"`make run PORT={port + 1 if 1024 <= port < 65535 else 8001}`."
            ) from error


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the terminal is this program's page


if __name__ == "__main__":
    sys.exit(main())
