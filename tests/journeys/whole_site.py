"""A whole site of its own, started as `make run` starts it: services, tables, demo, every process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.running import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
START_TIMEOUT_S: Final = 240
STOP_TIMEOUT_S: Final = 60
INHERITED: Final = ("PATH", "HOME", "LANG", "REPLAY_SPEED")


@dataclass(frozen=True, slots=True)
class WholeSite:
    """A running site.

    :param url: its address
    :param directory: its VAR_DIR, where its mail and logs lie
    :param email: of the demo's person
    :param password: of the demo's person
    """

    url: str
    directory: Path
    email: str
    password: str


@contextmanager
def whole_site(**environment: str) -> Iterator[WholeSite]:
    """Start a site in a directory of its own and end it after use."""
    with tempfile.TemporaryDirectory(prefix="ensemble-site-") as name:
        directory, url = Path(name), f"http://127.0.0.1:{(port := free_port())}"
        kept = {key: os.environ[key] for key in INHERITED if key in os.environ}
        output = directory / "run.out"
        with output.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "portfolio_site.run"],
                cwd=ROOT,
                env=kept | environment | {"VAR_DIR": name, "PORT": str(port)},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            email, password = _sign_in_told(process, output)
            yield WholeSite(url=url, directory=directory, email=email, password=password)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(STOP_TIMEOUT_S)


def _sign_in_told(process: subprocess.Popen[bytes], output: Path) -> tuple[str, str]:
    """Wait for the line with the demo's sign-in."""
    began = time.monotonic()
    while "Demo sign-in:" not in (told := output.read_text()):
        if process.poll() is not None or time.monotonic() - began > START_TIMEOUT_S:
            raise RuntimeError(f"the site did not start: {told}")
        time.sleep(0.2)
    email, password = told.split("Demo sign-in: ")[1].split(" / ")
    return email.strip(), password.strip()
