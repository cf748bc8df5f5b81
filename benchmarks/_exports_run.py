"""The measuring process of `benchmarks.exports`: `python -m benchmarks._exports_run WAY` prints JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Final

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

from django.db import connection  # noqa: E402

from accounts.models import Portfolio  # noqa: E402
from core.clock import utc_now  # noqa: E402
from engine.exports import export_open  # noqa: E402
from positions.models import EquityPoint  # noqa: E402
from tests.integration.money.desk import desk_open  # noqa: E402
from tests.services import services_ensure  # noqa: E402
from tests.settings import TEST_RUN_PID, TEST_VAR  # noqa: E402

ROWS: Final = 300_000
FEW: Final = 10_000
_FILL: Final = """
    INSERT INTO positions_equitypoint (portfolio_id, run, at, world_at, equity, unit_value)
    SELECT %s, 1, now(), timestamptz '2020-01-01' + n * interval '1 second', 10000 + n * 0.12345678,
           1 + n * 0.000000000123 FROM generate_series(%s, %s) AS n
"""


def pieces(portfolio: Portfolio) -> int:
    """Write as the product does; return the rows."""
    opened = export_open(portfolio=portfolio, what="equity", ending="csv", now=utc_now())
    return sum(chunk.count("\r\n") for chunk in opened.chunks) - 1


def at_once(portfolio: Portfolio) -> int:
    """Ask for everything, then write it with the standard library; return the rows."""
    rows = list(EquityPoint.objects.filter(portfolio=portfolio).order_by("pk").values_list())
    held = io.StringIO()
    csv.writer(held).writerows(rows)
    return held.getvalue().count("\r\n")


def fill(portfolio: Portfolio, first: int, last: int) -> None:
    """Add points to the curve."""
    with connection.cursor() as cursor:
        cursor.execute(_FILL, [portfolio.pk, first, last])


def peak_mib() -> float:
    """Return the most this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(write: Callable[[Portfolio], int]) -> dict[str, float]:
    """Write a few rows, then many."""
    portfolio = desk_open().portfolio
    fill(portfolio, 1, FEW)
    if write(portfolio) != FEW:
        raise RuntimeError("not every row was written")
    before_mib = peak_mib()
    fill(portfolio, FEW + 1, ROWS)
    began = time.perf_counter()
    rows = write(portfolio)
    took_s = time.perf_counter() - began
    if rows != ROWS:
        raise RuntimeError(f"{rows} of {ROWS} rows were written")
    return {"rows": rows, "rows_s": rows / took_s, "grew_mib": peak_mib() - before_mib}


def main() -> None:
    """Measure on a database that is thrown away."""
    services_ensure(var_dir=TEST_VAR, run_pid=TEST_RUN_PID)
    connection.creation.create_test_db(verbosity=0)
    print(json.dumps(measure({"pieces": pieces, "at_once": at_once}[sys.argv[1]])))
    connection.close()


if __name__ == "__main__":
    main()
