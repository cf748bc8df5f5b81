"""Ten kills of the thousand that `make chaos` is for (EXE-6, BEY-6)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.site import Site
from tests.faults.storm import Storm, percentile, summary_append

SEED = 20260713


@pytest.mark.faults
@pytest.mark.slow
def test_ten_kills_double_nothing_and_lose_nothing(site: Site) -> None:
    """BEY-6: any process may be hit while the venue fails; the storm itself asserts what must hold."""
    figures = Storm(site=site, seed=SEED, portfolios=2).rage(kills=10)
    assert figures["kills"] == 10
    assert figures["fills"] > 0
    assert [figures[zero] for zero in ("doubled_orders", "lost_fills", "unknown_left")] == [0, 0, 0]


def test_runs_add_up(tmp_path: Path) -> None:
    """BEY-6: a thousand kills may be made in several runs."""
    run = {"kills": 200, "doubled_orders": 0, "lost_fills": 0, "book_differences": 0, "unknown_left": 0}
    path = tmp_path / "var" / "chaos.jsonl"
    summary_append(path=path, figures={**run, "unprotected_p99_s": 2.5})
    told = summary_append(path=path, figures={**run, "unprotected_p99_s": 1.5})
    assert told == {**run, "runs": 2, "kills": 400, "unprotected_p99_s_worst": 2.5}
    assert len(path.read_text().splitlines()) == 2
    assert json.loads(path.read_text().splitlines()[0])["unprotected_p99_s"] == 2.5


def test_percentiles_are_values_that_occurred() -> None:
    """BEY-6: nearest rank; none of nothing."""
    assert [percentile([1.0, 2.0, 3.0, 4.0], p) for p in (50, 75, 99, 100)] == [2.0, 3.0, 4.0, 4.0]
    assert percentile([], 99) == 0.0
