"""Keep the process types of the Procfile running: start, restart with a growing pause, stop in order."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from time import sleep

from core.clock import SYSTEM_CLOCK, Clock
from portfolio_site.config import BASE_DIR
from portfolio_site.processes import Child, ChildSpec, StartRefused, children_stop, log_rotate

APP_STOP_S = 6.0
SERVICE_STOP_S = 3.0
PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 30.0
STEADY_AFTER_S = 10.0  # who ran so long was killed, or met a rare fault: it is needed back at once
POLL_S = 0.25
ROTATE_EVERY_S = 60.0


def procfile_specs(*, log_dir: Path, values: Mapping[str, str]) -> list[ChildSpec]:
    """Return one spec per line of the Procfile, `$NAME` replaced from `values`, `python` by ours.

    :raises KeyError: the Procfile uses a name that `values` lacks
    """
    specs = []
    for line in (BASE_DIR / "Procfile").read_text().splitlines():
        name, _, command = line.partition(":")
        argv = shlex.split(Template(command).substitute(values))
        specs.append(
            ChildSpec(
                name=name,
                argv=[sys.executable if word == "python" else word for word in argv],
                log_path=log_dir / f"{name}.log",
                # glibc's many arenas cost about 20 MB a process and buy nothing here.
                environment={"MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1", **values},
            )
        )
    return specs


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


@dataclass(slots=True)
class _Kept:
    """One process type: the running child, or when to start it again."""

    child: Child
    started_s: float
    pause_s: float = PAUSE_FIRST_S
    again_s: float | None = None


class Supervisor:
    """Owns the children of one site. Services were started by the caller and are handed over running."""

    def __init__(self, *, state_path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        """Begin with nothing to keep.

        :param state_path: file that names each running process and its id, for people and tests
        """
        self._state_path = state_path
        self._clock = clock
        self._services: list[_Kept] = []
        self._apps: list[_Kept] = []
        self._rotated_s = clock.monotonic_s()

    def service_adopt(self, *, child: Child) -> None:
        """Keep a service that already runs."""
        self._services.append(_Kept(child=child, started_s=self._clock.monotonic_s()))
        self._state_write()

    def apps_start(self, *, specs: Sequence[ChildSpec]) -> None:
        """Start the process types."""
        for spec in specs:
            self._apps.append(_Kept(child=Child(spec=spec), started_s=self._clock.monotonic_s()))
        self._state_write()

    def all_alive_require(self) -> None:
        """Before the site is ready nothing is restarted: what ends now would end again.

        :raises StartRefused: a process has ended
        """
        for kept in (*self._services, *self._apps):
            if kept.child.exit_code() is not None:
                spec = kept.child.spec
                raise StartRefused(
                    f"{spec.name} ended at once ({last_line(kept.child.log_text())}); see {spec.log_path}."
                )

    def keep_forever(self) -> None:
        """Restart what ends, say so, until an exception (a signal's) ends this."""
        while True:
            self.look()
            sleep(POLL_S)

    def look(self) -> None:
        """Look at each process once: restart what has ended and waited long enough."""
        for kept in (*self._services, *self._apps):
            self._kept_look(kept=kept)
        self._logs_rotate()

    def stop(self) -> None:
        """Stop the process types, then the services they use: under ten seconds, by force where needed."""
        children_stop(children=[kept.child for kept in self._apps], timeout_s=APP_STOP_S)
        children_stop(children=[kept.child for kept in self._services], timeout_s=SERVICE_STOP_S)
        self._state_path.unlink(missing_ok=True)

    def _kept_look(self, *, kept: _Kept) -> None:
        now_s = self._clock.monotonic_s()
        if kept.again_s is not None:
            if now_s >= kept.again_s:
                kept.child, kept.started_s, kept.again_s = Child(spec=kept.child.spec), now_s, None
                self._state_write()
            return
        code = kept.child.exit_code()
        if code is None:
            return
        if now_s - kept.started_s > STEADY_AFTER_S:
            kept.pause_s = 0.0
        kept.child.kill()  # what it may have left in its process group
        kept.again_s = now_s + kept.pause_s
        spec = kept.child.spec
        again = f"in {kept.pause_s:.0f} s" if kept.pause_s else "at once"
        told = f"signal {-code}" if code < 0 else f"exit code {code}: {last_line(kept.child.log_text())}"
        print(  # noqa: T201 - the terminal is this program's page
            f"{spec.name} ended ({told}); starting it again {again}, see {spec.log_path}.",
            flush=True,
        )
        kept.pause_s = min(max(PAUSE_FIRST_S, kept.pause_s * 2), PAUSE_MAX_S)

    def _logs_rotate(self) -> None:
        if self._clock.monotonic_s() - self._rotated_s < ROTATE_EVERY_S:
            return
        self._rotated_s = self._clock.monotonic_s()
        for kept in (*self._services, *self._apps):
            log_rotate(path=kept.child.spec.log_path)

    def _state_write(self) -> None:
        pids = {kept.child.spec.name: kept.child.pid for kept in (*self._services, *self._apps)}
        fresh = self._state_path.with_suffix(".new")
        fresh.write_text(json.dumps(pids, indent=1))
        fresh.rename(self._state_path)
