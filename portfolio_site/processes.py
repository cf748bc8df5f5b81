"""Child processes that never outlive the one that started them.

Each child leads its own session, so a Ctrl-C at the terminal reaches the supervisor alone, and asks the
kernel (Linux, `PR_SET_PDEATHSIG`) to be ended when its parent dies in any way, `SIGKILL` included.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.clock import SYSTEM_CLOCK, Clock

PR_SET_PDEATHSIG = 1
LOG_BYTES_MAX = 20_000_000
_libc = ctypes.CDLL(None, use_errno=True)


class StartRefused(Exception):
    """The site cannot start; the message is one sentence for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The system user a child runs as, where that is not our own."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to start and stop one child.

    `stop_signal` is what asks it to end in order; `environment` is added to ours.
    """

    name: str
    argv: Sequence[str]
    log_path: Path
    stop_signal: signal.Signals = signal.SIGTERM
    identity: Identity | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """One running child. Start it from the main thread: the kernel ties it to the thread that forked it."""

    def __init__(self, *, spec: ChildSpec) -> None:
        self.spec = spec
        log_rotate(path=spec.log_path)
        self.log_offset = spec.log_path.stat().st_size if spec.log_path.exists() else 0
        identity = spec.identity
        with spec.log_path.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - argv is ours
                list(spec.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **spec.environment},
                start_new_session=True,
                user=None if identity is None else identity.uid,
                group=None if identity is None else identity.gid,
                extra_groups=None if identity is None else [],
                preexec_fn=die_with_parent(stop_signal=spec.stop_signal),  # noqa: PLW1509 - main thread only
            )

    @property
    def pid(self) -> int:
        """The process id, also of its process group."""
        return self.process.pid

    def exit_code(self) -> int | None:
        """Return how it ended (negative: by that signal), or None while it runs."""
        return self.process.poll()

    def log_text(self) -> str:
        """Return what this child has written since it started, at most the last 20,000 characters."""
        if not self.spec.log_path.exists():
            return ""
        with self.spec.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(min(size, max(self.log_offset, size - 20_000)))
            return log.read().decode(errors="replace")

    def stop_ask(self) -> None:
        """Ask it to end in order."""
        with suppress(ProcessLookupError):
            self.process.send_signal(self.spec.stop_signal)

    def kill(self) -> None:
        """End it and everything in its process group at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self, *, timeout_s: float) -> bool:
        """Return whether it has ended within `timeout_s`."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def die_with_parent(*, stop_signal: signal.Signals, parent: int | None = None) -> Callable[[], None]:
    """Return what a forked child runs first: be sent `stop_signal` when its parent (default: us) dies."""
    parent = parent or os.getpid()

    def ask_kernel() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(stop_signal))
        if os.getppid() != parent:  # it died between the fork and here
            os._exit(1)

    return ask_kernel


def children_stop(*, children: Sequence[Child], timeout_s: float, clock: Clock = SYSTEM_CLOCK) -> None:
    """Ask all to end, wait for them together, end by force what is left after `timeout_s`."""
    for child in children:
        child.stop_ask()
    deadline_s = clock.monotonic_s() + timeout_s
    for child in children:
        child.wait(timeout_s=max(0.0, deadline_s - clock.monotonic_s()))
    for child in children:
        child.kill()


def log_rotate(*, path: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Move a log past `bytes_max` aside, under a live writer too (it goes on in the emptied file)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > bytes_max:
        with path.open("rb") as old, path.with_name(path.name + ".1").open("wb") as kept:
            old.seek(-bytes_max // 2, os.SEEK_END)
            kept.write(old.read())
        os.truncate(path, 0)
