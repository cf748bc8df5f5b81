"""SEC-1: what every answer carries, and how people are known."""

from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.checks.messages import ERROR
from django.test import Client

from portfolio_site import settings as shipped
from portfolio_site.middleware import POLICY
from tests.running import TestProcesses


@pytest.mark.parametrize("path", ["/healthz", "/accounts/login/", "/admin/login/", "/no-such-page"])
@pytest.mark.django_db
def test_every_answer_carries_the_strict_policy(client: Client, path: str) -> None:
    """SEC-1: nothing from elsewhere, nothing inline, no frame around us."""
    answer = client.get(path)
    assert answer["Content-Security-Policy"] == POLICY
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"


def test_policy_allows_nothing_inline_and_nothing_foreign() -> None:
    """SEC-1: the policy itself."""
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"


def test_passwords_are_hashed_with_argon2() -> None:
    """SEC-1: the shipped setting, not the quick one of the tests."""
    assert shipped.PASSWORD_HASHERS[0] == "django.contrib.auth.hashers.Argon2PasswordHasher"


def test_shipped_defaults_are_closed() -> None:
    """SEC-1: off by default: DEBUG, the open network, guessable API access, code in messages of the queue."""
    assert shipped.DEBUG is False
    assert shipped.HOST == "127.0.0.1"
    assert shipped.REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"] == [
        "rest_framework.permissions.IsAuthenticated"
    ]
    assert shipped.CELERY_ACCEPT_CONTENT == ["json"]


def test_checks_find_nothing_wrong_as_shipped() -> None:
    """CFG-1: a fresh clone has no complaint."""
    assert run_checks() == []


def test_short_metrics_token_is_an_error(settings: Any) -> None:
    """SEC-1: none is fine, one that could be guessed is not."""
    settings.METRICS_TOKEN = "guess me"
    assert [(found.id, found.level) for found in run_checks()] == [("site.E002", ERROR)]


def test_what_cannot_seal_is_an_error_that_quotes_nothing(settings: Any) -> None:
    """SEC-1: said at the start, by its place in the list; a key is a secret."""
    settings.CREDENTIAL_KEYS = [*settings.CREDENTIAL_KEYS, "almost-a-key"]
    (found,) = run_checks()
    assert (found.id, found.level) == ("site.E003", ERROR)
    assert found.msg == "Number 2 of CREDENTIAL_KEYS is no sealing key."


def test_short_secret_is_an_error(settings: Any) -> None:
    """SEC-1: a key that could be guessed is refused."""
    settings.SECRET_KEY = "changeme"
    assert [(found.id, found.level) for found in run_checks()] == [("site.E001", ERROR)]


def test_public_host_without_https_is_warned_about(settings: Any) -> None:
    """SEC-1: cookies over plain http, and DEBUG in the open, are said."""
    settings.ALLOWED_HOSTS = ["ensemble.example"]
    settings.DEBUG = True
    assert [found.id for found in run_checks()] == ["site.W001", "site.W002"]
    settings.HTTPS = True
    settings.TRUSTED_PROXIES = 1
    settings.DEBUG = False
    assert run_checks() == []


def test_a_proxy_that_is_not_counted_is_warned_about(settings: Any) -> None:
    """SEC-1: behind TLS every visitor would share one limit of failures."""
    settings.HTTPS = True
    assert [found.id for found in run_checks()] == ["site.W005"]


def test_mandatory_mail_without_a_mail_server_is_warned_about(settings: Any) -> None:
    """SEC-1: nobody could sign up alone."""
    settings.EMAIL_VERIFICATION = "mandatory"
    assert [found.id for found in run_checks()] == ["site.W006"]
    settings.EMAIL_URL = "smtp://mail.example"
    assert run_checks() == []


def test_cache_that_swallows_syncs_is_warned_about(settings: Any) -> None:
    """SYN-2: a cache as long as the interval would hide every other read."""
    settings.POSITION_CACHE_SECONDS = 60
    assert [found.id for found in run_checks()] == ["site.W003"]


@pytest.mark.slow
def test_static_files_carry_policy_and_stay_in_their_directory(
    processes: TestProcesses,
) -> None:
    """SEC-1: static files are served with the same headers; nothing beside them is."""
    import http.client

    base, _ = processes.web()
    host = base.removeprefix("http://")

    def get(path: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        connection.close()
        return answer

    icon = get("/static/icon.svg")
    assert (icon.status, icon.headers["Content-Type"]) == (200, "image/svg+xml")
    assert icon.headers["Content-Security-Policy"] == POLICY
    assert get("/static/icon.svg", **{"If-None-Match": icon.headers["ETag"]}).status == 304
    part = get("/static/icon.svg", Range="bytes=0-3")
    assert (part.status, part.body) == (206, icon.body[:4])  # type: ignore[attr-defined]
    assert get("/static/../manage.py").status == 404
    assert get("/static/%2e%2e/manage.py").status == 404
    assert get("/static/").status == 404
