"""Fixtures every test may use: services, the standing cast, real processes, the browser.

The cast: Alice owns things, Bob is another user with things of his own, Charlie must see nothing.
Only loopback can be reached, and a test that needs neither database nor Redis starts neither.
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import Client

from portfolio_site.health import workers_alive
from portfolio_site.processes import Child
from tests.running import TestProcesses
from tests.services import services_ensure
from tests.settings import TEST_RUN_PID, TEST_VAR

CAST_PASSWORD = "correct horse battery"
LOOPBACK = ("127.", "::1", "localhost")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_needs_services = {"services", "db", "transactional_db", "redis_client", "live_server", "processes"}
_journeys_skipped: list[str] = []


# ---------------------------------------------------------------- the network
@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine."""

    def guarded(name: str) -> Callable[..., Any]:
        original = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(LOOPBACK):
                raise AssertionError(f"a test tried to reach {address[0]}; only loopback is allowed")
            return original(self, address)

        return connect

    monkeypatch.setattr(socket.socket, "connect", guarded("connect"))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded("connect_ex"))


# ---------------------------------------------------------------- services
@pytest.fixture(scope="session")
def services() -> None:
    """PostgreSQL and Redis of this test run."""
    services_ensure(var_dir=TEST_VAR, run_pid=TEST_RUN_PID)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(services: None, django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Have the services before pytest-django makes this worker's database."""


@pytest.fixture(scope="session", autouse=True)
def _audit_log_can_be_emptied() -> Iterator[None]:
    """Let the flush between tests that commit empty the audit log, which refuses it otherwise (SEC-2).

    Only the table's owner can: it takes the triggers off and puts them back, all in the flush's transaction.
    """
    table, triggers = "accounts_auditentry", ("audit_refuses_change", "audit_refuses_truncate")
    real = DatabaseOperations.execute_sql_flush

    def flush(self: DatabaseOperations, sql_list: list[str]) -> None:
        off = [f"ALTER TABLE {table} DISABLE TRIGGER {name}" for name in triggers]
        on = [f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}" for name in triggers]
        real(self, [*off, *sql_list, *on])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", flush)
        yield


@pytest.fixture(autouse=True)
def _redis_empty(request: pytest.FixtureRequest) -> None:
    """Begin each test that has services with an empty Redis database."""
    if _needs_services & set(request.fixturenames):
        request.getfixturevalue("services")
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            client.flushdb()


@pytest.fixture
def redis_client(services: None) -> Iterator[redis.Redis]:
    """A client of this worker's own, empty Redis database."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client


# ---------------------------------------------------------------- the cast
def _cast_member(name: str) -> Any:
    return get_user_model().objects.create_user(email=f"{name}@example.com", password=CAST_PASSWORD)


@pytest.fixture
def alice(db: None) -> Any:
    """The owner."""
    return _cast_member("alice")


@pytest.fixture
def bob(db: None) -> Any:
    """Another user, with things of his own."""
    return _cast_member("bob")


@pytest.fixture
def charlie(db: None) -> Any:
    """Signed in, and must see nothing of anybody."""
    return _cast_member("charlie")


@pytest.fixture
def client_of() -> Callable[[Any], Client]:
    """Return a function: user → a test client signed in as that user."""

    def signed_in(user: Any) -> Client:
        client = Client()
        client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
        return client

    return signed_in


# ---------------------------------------------------------------- real processes
@pytest.fixture
def processes(transactional_db: None, tmp_path: Path) -> Iterator[TestProcesses]:
    """Start real processes on this test's database: `.worker()`, `.web()`, `.start(name=, argv=)`."""
    started = TestProcesses(
        database=settings.DATABASES["default"]["NAME"],
        log_dir=tmp_path,
        worker_alive=lambda name: any(worker.startswith(f"{name}@") for worker in workers_alive()),
    )
    try:
        yield started
    finally:
        started.stop_all()


@pytest.fixture
def celery_worker_process(processes: TestProcesses) -> Child:
    """A real Celery worker on every queue: `.pid`, `.kill()`, `.log_text()`."""
    return processes.worker()


@pytest.fixture
def asgi_server(processes: TestProcesses) -> str:
    """The base address of a real ASGI server with pages, API and sockets."""
    return processes.web()[0]


# ---------------------------------------------------------------- the browser
@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The machine's Chromium. Without one the journeys are skipped loudly, and fail in CI."""
    names = (
        os.environ.get("CHROMIUM", ""),
        "/usr/bin/chromium",
        "chromium",
        "chromium-browser",
        "google-chrome",
    )
    for name in names:
        if name and (found := shutil.which(name)):
            return found
    reason = "no Chromium here: install the package chromium, or name the program in $CHROMIUM"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{reason}; CI must run the browser journeys")
    _journeys_skipped.append(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium(chromium_path: str) -> Iterator[Any]:
    """A headless Chromium driven by Playwright's sync API; use it in a pytest call without async tests."""
    from playwright.sync_api import sync_playwright

    # Playwright's loop runs in this thread; Django would take every query beside it for a mistake.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path, headless=True, args=CHROMIUM_FLAGS
        )
        yield browser
        browser.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say at the very end, where nobody can overlook it, that journeys did not run."""
    for reason in _journeys_skipped:
        terminalreporter.write_sep("!", f"BROWSER JOURNEYS DID NOT RUN: {reason}", red=True)
