"""Services and a database of a measuring process's own: ``python -m … DIR``.

Importing this sets Django up on the directory named first on the command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(sys.argv[1])
os.environ.update(
    DJANGO_SETTINGS_MODULE="portfolio_site.settings", VAR_DIR=str(DIRECTORY), LOG_LEVEL="WARNING"
)
for name in ("DATABASE_URL", "REDIS_URL"):
    os.environ.pop(name, None)

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from portfolio_site.embedded import EmbeddedPostgres, EmbeddedRedis  # noqa: E402
from portfolio_site.processes import Child, ChildSpec, children_stop  # noqa: E402
from portfolio_site.supervisor import procfile_specs  # noqa: E402

NO_WEB: Final = {"HOST": "127.0.0.1", "PORT": "8000"}  # for process types other than web


@contextmanager
def services() -> Iterator[None]:
    """An embedded PostgreSQL and Redis under the directory, migrated."""
    running = [EmbeddedPostgres(var_dir=DIRECTORY).start(), EmbeddedRedis(var_dir=DIRECTORY).start()]
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connection.close()
        children_stop(children=running[::-1], timeout_s=10)


@contextmanager
def programs(specs: list[ChildSpec]) -> Iterator[None]:
    """These programs, running."""
    children = [Child(spec=spec) for spec in specs]
    try:
        yield
    finally:
        children_stop(children=children, timeout_s=10)


@contextmanager
def site(*process_types: str) -> Iterator[None]:
    """Services, tables, and these process types of the Procfile."""
    with services():
        specs = procfile_specs(log_dir=DIRECTORY / "log", values=NO_WEB)
        with programs([spec for spec in specs if spec.name in process_types]):
            yield


def quantile(ordered: list[float], share: float) -> float:
    """Return the value below which this share of an ordered list lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
