"""What the figures share: measuring in a process of its own, and the shape of a figure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent


def measured(module: str, *arguments: str, what: str, patience_s: float) -> dict[str, Any]:
    """Run a measuring module in a process of its own; return the JSON object on the last line it prints.

    :param what: what it measures, for the message when it fails
    :raises RuntimeError: it failed; with the end of what it said
    """
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"measuring {what} failed: {done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measured_in_a_directory(module: str, *, what: str, patience_s: float) -> dict[str, Any]:
    """Run a measuring module that keeps services and a database of its own in the directory it is given."""
    with TemporaryDirectory(prefix="ensemble-bench-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)  # PostgreSQL may run as another user
        return measured(module, directory, what=what, patience_s=patience_s)


def figure(
    *,
    name: str,
    value: float,
    unit: str,
    baseline: float | None,
    goal: float | str | None,
    holds: bool | None,
    digits: int = 1,
) -> dict[str, Any]:
    """Return one figure as it is printed, rounded to so many ``digits``."""
    return {
        "name": name,
        "value": round(value, digits),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, digits),
        "goal": goal,
        "holds": holds,
    }
