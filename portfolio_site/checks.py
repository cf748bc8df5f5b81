"""Django system checks: settings that are allowed but unwise are said once, at every start.

Wrong values never get here, `portfolio_site.config` refuses them.
"""

from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning

from portfolio_site.secret import SECRET_LENGTH_MIN

TOKEN_LENGTH_MIN = 20


@register(Tags.security)
def secret_key_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse a secret key that could be guessed."""
    if len(settings.SECRET_KEY) >= SECRET_LENGTH_MIN:
        return []
    return [
        Error(
            f"SECRET_KEY has {len(settings.SECRET_KEY)} characters; sessions signed with it could be forged.",
            hint=f"Use at least {SECRET_LENGTH_MIN} random characters, or leave it out and one is made.",
            id="site.E001",
        )
    ]


@register(Tags.security)
def credential_keys_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse a sealing key that cannot seal, before somebody's secret is entered or cannot be opened."""
    wrong = [place for place, key in enumerate(settings.CREDENTIAL_KEYS, start=1) if not _seals(key)]
    return [
        Error(
            f"Number {place} of CREDENTIAL_KEYS is no sealing key.",
            hint="Make one with “manage.py credential_keys new”; the old ones follow, with commas.",
            id="site.E003",
        )
        for place in wrong
    ]


def _seals(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


@register(Tags.security)
def metrics_token_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse a token for /metrics that could be guessed."""
    if not 0 < len(settings.METRICS_TOKEN) < TOKEN_LENGTH_MIN:
        return []
    return [
        Error(
            f"METRICS_TOKEN has {len(settings.METRICS_TOKEN)} characters; it could be guessed.",
            hint=f"Use at least {TOKEN_LENGTH_MIN} random characters, or leave it out.",
            id="site.E002",
        )
    ]


@register(Tags.security)
def public_host_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn where the site answers the open network without https, or with DEBUG on."""
    local = {"localhost", "127.0.0.1", "[::1]", "testserver"}
    public = sorted(set(settings.ALLOWED_HOSTS) - local)
    if not public:
        return []
    messages: list[CheckMessage] = []
    if not settings.HTTPS:
        messages.append(
            CheckWarning(
                f"The site answers for {', '.join(public)} without HTTPS; cookies can be read on the way.",
                hint="Put a TLS proxy in front and set HTTPS=true.",
                id="site.W001",
            )
        )
    if settings.DEBUG:
        messages.append(
            CheckWarning(
                f"DEBUG is on while the site answers for {', '.join(public)}; errors show code and settings.",
                hint="Set DEBUG=false.",
                id="site.W002",
            )
        )
    return messages


@register(Tags.security)
def proxy_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn where every visitor would be counted as one: the proxy that ends TLS."""
    if not settings.HTTPS or settings.TRUSTED_PROXIES:
        return []
    return [
        CheckWarning(
            "HTTPS is on and TRUSTED_PROXIES is 0: failed sign-ins are counted for the address of the proxy, "
            "so ten in a minute by anybody lock the sign-in page for everybody.",
            hint="Set TRUSTED_PROXIES to the number of your own proxies in front, mostly 1.",
            id="site.W005",
        )
    ]


@register()
def mail_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn where people must open a mail that no mail server sends."""
    if settings.EMAIL_VERIFICATION != "mandatory" or settings.EMAIL_URL:
        return []
    return [
        CheckWarning(
            "EMAIL_VERIFICATION is mandatory and no mail server is set: who signs up waits for a mail that "
            "is kept as a file on this server.",
            hint="Set EMAIL_URL.",
            id="site.W006",
        )
    ]


@register()
def timing_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn about times that defeat each other."""
    if settings.POSITION_CACHE_SECONDS < settings.SYNC_INTERVAL_SECONDS:
        return []
    return [
        CheckWarning(
            f"POSITION_CACHE_SECONDS ({settings.POSITION_CACHE_SECONDS}) is not below SYNC_INTERVAL_SECONDS "
            f"({settings.SYNC_INTERVAL_SECONDS}): every other sync would read the cache and see no change.",
            hint="Make the cache shorter than the interval.",
            id="site.W003",
        )
    ]
