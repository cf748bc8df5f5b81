"""OPS-3: children end with their parent, restart after a crash, and stop in time."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from portfolio_site.processes import Child, ChildSpec, StartRefused, children_stop, log_rotate
from portfolio_site.supervisor import Supervisor, last_line, procfile_specs
from tests.running import wait_until

SLEEPER = "import time\nprint('awake', flush=True)\ntime.sleep(60)"
STUBBORN = (
    "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('awake', flush=True)\ntime.sleep(60)"
)


def spec_of(code: str, *, tmp_path: Path, name: str = "probe") -> ChildSpec:
    return ChildSpec(name=name, argv=[sys.executable, "-c", code], log_path=tmp_path / f"{name}.log")


def is_running(pid: int) -> bool:
    """Tell whether the process exists and is more than a leftover entry nobody has waited for."""
    try:
        state = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """OPS-3: SIGKILL of the supervisor leaves nothing behind."""
    parent_code = f"""
from pathlib import Path
from portfolio_site.processes import Child, ChildSpec
import sys, time
argv = [sys.executable, "-c", {SLEEPER!r}]
child = Child(spec=ChildSpec(name="c", argv=argv, log_path=Path({str(tmp_path)!r}) / "c"))
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    wait_until(lambda: not is_running(pid), what="the child ended")


def test_grandchildren_are_ended_with_their_group(tmp_path: Path) -> None:
    """OPS-3: what a child started goes with it."""
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(p.pid, flush=True)\ntime.sleep(60)"
    )
    child = Child(spec=spec_of(code, tmp_path=tmp_path))
    wait_until(lambda: child.log_text().strip().isdigit())
    grandchild = int(child.log_text())
    assert is_running(grandchild)
    children_stop(children=[child], timeout_s=5)
    wait_until(lambda: not is_running(grandchild), what="the grandchild ended")


def test_stubborn_child_is_ended_by_force_in_time(tmp_path: Path) -> None:
    """OPS-3: Ctrl-C stops everything even where one does not listen."""
    child = Child(spec=spec_of(STUBBORN, tmp_path=tmp_path))
    wait_until(lambda: "awake" in child.log_text())
    children_stop(children=[child], timeout_s=0.2)
    assert child.exit_code() == -signal.SIGKILL


def test_child_leads_its_own_session(tmp_path: Path) -> None:
    """OPS-3: a Ctrl-C at the terminal reaches the supervisor alone, which stops the rest in order."""
    child = Child(spec=spec_of(SLEEPER, tmp_path=tmp_path))
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    child.kill()


def test_log_text_is_that_of_this_start(tmp_path: Path) -> None:
    """OPS-3: the reason told is not the one of last week."""
    first = Child(spec=spec_of("print('first')", tmp_path=tmp_path))
    assert first.wait(timeout_s=20)
    second = Child(spec=spec_of("print('second')", tmp_path=tmp_path))
    assert second.wait(timeout_s=20)
    assert second.log_text() == "second\n"
    assert (tmp_path / "probe.log").read_text() == "first\nsecond\n"


def test_log_is_rotated_under_its_writer(tmp_path: Path) -> None:
    """OPS-1: logs stay bounded without a restart."""
    path = tmp_path / "site.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"0123456789")
        log_rotate(path=path, bytes_max=10)
        assert path.read_bytes() == b"0123456789"
        writer.write(b"x")
        log_rotate(path=path, bytes_max=10)
        writer.write(b"y")
    assert path.read_bytes() == b"y"
    assert path.with_name("site.log.1").read_bytes() == b"6789x"


def test_before_ready_an_ended_process_stops_the_start(tmp_path: Path) -> None:
    """OPS-3: one clear sentence with the process, its last words and its log."""
    supervisor = Supervisor(state_path=tmp_path / "processes.json")
    supervisor.apps_start(
        specs=[spec_of("raise SystemExit('no such table')", tmp_path=tmp_path, name="feed")]
    )

    def refused() -> str:
        try:
            supervisor.all_alive_require()
        except StartRefused as refusal:
            return str(refusal)
        return ""

    assert wait_until(refused) == f"feed ended at once (no such table); see {tmp_path}/feed.log."
    supervisor.stop()
    assert not (tmp_path / "processes.json").exists()


class SecondsPass:
    """A clock that moves some seconds at each look, so that pauses are soon over."""

    def __init__(self, *, step_s: float = 2) -> None:
        self.seconds = 0.0
        self._step_s = step_s

    def monotonic_s(self) -> float:
        self.seconds += self._step_s
        return self.seconds


def test_ended_process_is_started_again_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """OPS-3: a crash costs seconds, not the site."""
    clock = SecondsPass(step_s=0.02)  # on a busy machine too it ends before it has run "for a while"
    supervisor = Supervisor(state_path=tmp_path / "processes.json", clock=clock)  # type: ignore[arg-type]
    code = f"open({str(tmp_path / 'lives')!r}, 'a').write('x')\nraise SystemExit(3)"
    supervisor.apps_start(specs=[spec_of(code, tmp_path=tmp_path, name="feed")])

    def third_life() -> bool:
        supervisor.look()
        lives = tmp_path / "lives"
        return lives.exists() and len(lives.read_text()) >= 3

    wait_until(third_life)
    supervisor.stop()
    told = capsys.readouterr().out.splitlines()
    assert (
        told[0]
        == f"feed ended (exit code 3: it said nothing); starting it again in 1 s, see {tmp_path}/feed.log."
    )
    assert told[1].startswith("feed ended (exit code 3: it said nothing); starting it again in 2 s")


def test_who_ran_for_a_while_is_back_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """BEY-6: a killed process leaves positions unwatched while it is away, however often it is killed."""
    clock = SecondsPass(step_s=11)
    supervisor = Supervisor(state_path=tmp_path / "processes.json", clock=clock)  # type: ignore[arg-type]
    supervisor.apps_start(specs=[spec_of(SLEEPER, tmp_path=tmp_path, name="feed")])
    for _ in range(3):
        pid = json.loads((tmp_path / "processes.json").read_text())["feed"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _looked(supervisor, tmp_path) not in {None, pid}, what="a new feed")  # noqa: B023
    supervisor.stop()
    told = capsys.readouterr().out.splitlines()
    assert told == [f"feed ended (signal 9); starting it again at once, see {tmp_path}/feed.log."] * 3


def _looked(supervisor: Supervisor, tmp_path: Path) -> int | None:
    supervisor.look()
    pid: int | None = json.loads((tmp_path / "processes.json").read_text()).get("feed")
    return pid


def test_procfile_names_the_process_types_of_this_part() -> None:
    """OPS-3: one list for `make run` and for any other process manager."""
    specs = procfile_specs(log_dir=Path("/logs"), values={"HOST": "127.0.0.1", "PORT": "8000"})
    names = ["web", "feed", "worker-sync", "worker-orders", "worker-live", "worker-exits", "worker-commands"]
    names += ["beat"]
    assert [spec.name for spec in specs] == names
    queues = {
        part
        for spec in specs
        for before, part in zip(spec.argv, spec.argv[1:], strict=False)
        if before == "-Q"
    }
    assert queues == {"sync,alerts", "orders,plan,upkeep", "live", "exits", "commands"}
    assert all(sys.executable in (spec.argv[0], *spec.argv[3:4]) for spec in specs)
    patient = {spec.name: spec.argv[:3] for spec in specs if spec.argv[0] != sys.executable}
    assert patient == {"worker-sync": ["nice", "-n", "5"]}, "a busy sync delays neither pages nor commands"


def test_last_line_says_something() -> None:
    """House habit 8: never an empty reason."""
    assert last_line("first\nlast\n\n  \n") == "last"
    assert last_line("") == "it said nothing"
