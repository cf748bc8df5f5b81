"""The site's settings for a test run: the same, on services that start when a test first needs them.

The first process of a run chooses the directory; its workers and the processes tests start inherit it.
"""

import os
import tempfile
from pathlib import Path

TEST_VAR = Path(
    os.environ.setdefault(
        "ENSEMBLE_TEST_VAR", str(Path(tempfile.gettempdir()) / f"ensemble-test-{os.getpid()}")
    )
)
TEST_RUN_PID = int(os.environ.setdefault("ENSEMBLE_TEST_RUN_PID", str(os.getpid())))


def redis_database() -> int:
    """Return this worker's own Redis database: 0 for a run in one process, N + 1 for xdist's worker gwN."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return int(worker.removeprefix("gw")) + 1 if worker else 0


# The developer's own environment has no say in a test run; what a test gives the processes it starts has.
if "ENSEMBLE_TEST_DATABASE" not in os.environ:
    for name in ("DATABASE_URL", "REDIS_URL", "DATABASE_POOL", "DEBUG", "ALLOWED_HOSTS", "HTTPS"):
        os.environ.pop(name, None)
os.environ.update(
    VAR_DIR=str(TEST_VAR),
    SECRET_KEY="a key for tests only, long enough to pass the check of its length",
    REDIS_URL=f"unix://{TEST_VAR}/run/redis.sock?db={redis_database()}",
    LOG_LEVEL=os.environ.get("LOG_LEVEL", "WARNING"),
)

from portfolio_site.settings import *  # noqa: E402, F403
from portfolio_site.settings import DATABASES  # noqa: E402

# Set for the processes a test starts: they use the database the test made.
if "ENSEMBLE_TEST_DATABASE" in os.environ:
    DATABASES["default"]["NAME"] = os.environ["ENSEMBLE_TEST_DATABASE"]

# Argon2 takes 50 ms a password by design; tests/house/test_security.py looks at the real setting.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
