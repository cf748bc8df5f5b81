"""What the addresses name: one of everything, and it is Alice's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from allauth.usersessions.models import UserSession
from django.apps import apps
from django.db import connection
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.models import ApiToken, Credential, Portfolio, User
from alerts.models import AlertChannel
from allocation.models import BreakerTrip, Follow, Reservation
from core.clock import utc_now
from engine.import_models import StateImport
from engine.models import Command
from execution.models import Order
from markets.models import LIVE
from markets.services import world_ensure
from positions.models import ConflictApproval, ConflictRecord, Position
from tests.api.making import everything_make
from traders.models import StyleAlarm
from traders.push import agent_register

METHODS: Final = ("get", "post", "put", "patch", "delete")
_OWN: Final = frozenset(
    [
        "accounts",
        "alerts",
        "markets",
        "traders",
        "allocation",
        "execution",
        "positions",
        "engine",
        "knox",
        "allauth",
    ]
)
# What people leave behind by looking: sessions, the last portfolio they saw, what was refused them.
_TRACES: Final = frozenset(
    {"accounts.user", "accounts.apitoken", "accounts.auditentry", "usersessions.usersession"}
)


@dataclass(frozen=True, slots=True)
class Route:
    """One address of the site and the methods it might answer."""

    name: str
    arguments: tuple[str, ...]
    methods: tuple[str, ...]

    @property
    def is_api(self) -> bool:
        """Whether it answers in JSON, to a token."""
        return self.name.startswith("api:")

    def address(self, values: dict[str, Any]) -> str:
        """Return the address with what it names filled in."""
        if self.name == "api:nothing":
            return "/api/v1/nothing-here/"
        return reverse(self.name, kwargs={name: values[name] for name in self.arguments})


def routes(
    resolver: URLResolver | None = None, namespace: str = "", above: tuple[str, ...] = ()
) -> Iterator[Route]:
    """Yield every address of the site but those of the admin.

    :param above: what the part of the address before it takes
    """
    for pattern in (resolver or get_resolver()).url_patterns:
        arguments = (*above, *pattern.pattern.regex.groupindex)
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "admin":
                inside = f"{namespace}{pattern.namespace}:" if pattern.namespace else ""
                yield from routes(pattern, inside, arguments)
        elif isinstance(pattern, URLPattern):
            yield Route(f"{namespace}{pattern.name}", arguments, _methods(pattern))


def _methods(pattern: URLPattern) -> tuple[str, ...]:
    view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
    return tuple(name for name in METHODS if view is None or hasattr(view, name)) or ("get", "post")


def everything_of(owner: User) -> dict[str, Any]:
    """Make one of everything, the owner's; return what addresses call it."""
    portfolio = everything_make(owner=owner)
    world_ensure(name=LIVE, now=utc_now())
    Portfolio.objects.filter(pk=portfolio.pk).update(world=LIVE)  # one whose recordings the pages can read
    StyleAlarm.objects.update(ended_at=None)
    agent = agent_register(owner=owner, name="Bot", interval_s=300, via="page", now=utc_now()).agent
    return {
        "portfolio_id": portfolio.pk,
        "follow_id": _one(Follow, portfolio=portfolio).pk,
        "position_id": _one(Position, portfolio=portfolio).pk,
        "order_id": _one(Order, portfolio=portfolio).pk,
        "command_id": _one(Command, portfolio=portfolio).pk,
        "reservation_id": _one(Reservation, portfolio=portfolio).pk,
        "underlying": _one(ConflictRecord, portfolio=portfolio).underlying,
        "alarm_id": _one(StyleAlarm).pk,
        "channel_id": _one(AlertChannel, owner=owner).pk,
        "credential_id": _one(Credential, owner=owner).pk,
        "agent_id": agent.public_id,
        "import_id": _one(StateImport, owner=owner).pk,
        "session_id": UserSession.objects.create(user=owner, session_key="elsewhere", ip="127.0.0.1").pk,
        "pk": 1,
        "token_id": _one(ApiToken, owner=owner).pk,
        "approval_id": _one(ConflictApproval, portfolio=portfolio).pk,
        "trip_id": _one(BreakerTrip, portfolio=portfolio).pk,
        "kind": "live_disconnect",
        "what": "trades",
        "ending": "csv",
        "key": "1-abc",
        "uidb36": "1",
    }


def missing_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the same with what belongs to somebody replaced by what nobody has."""
    nobodys = {
        "portfolio_id": 999_999_999,
        "credential_id": 999_999_999,
        "agent_id": UUID(int=0),
        "import_id": 999_999_999,
        "session_id": 999_999_999,
        "channel_id": 999_999_999,
        "token_id": 999_999_999,
    }
    return values | {name: value for name, value in nobodys.items() if name in values}


def _one(model: type[Model], **filters: Any) -> Any:
    row = model._default_manager.filter(**filters).first()
    assert row is not None, f"nothing of {model._meta.label} was made"
    return row


def fingerprint() -> dict[str, tuple[int, int]]:
    """Return how many rows each of our tables has, and a sum over their contents."""
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models():
            if model._meta.label_lower in _TRACES or model.__module__.split(".")[0] not in _OWN:
                continue
            content_of = "count(*), coalesce(sum(hashtext(t::text)::bigint), 0)"
            cursor.execute(f'SELECT {content_of} FROM "{model._meta.db_table}" t')  # noqa: S608
            count, content = cursor.fetchone()
            found[model._meta.label] = (int(count), int(content))
    return found
