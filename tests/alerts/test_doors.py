"""OPS-1 by page and API: everything a person does about alerts, and that nobody else can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, Portfolio, User
from alerts.models import Alert, AlertChannel, QuietTime
from alerts.raising import alert_raise
from tests.alerts.conftest import NOW, TELEGRAM_TOKEN, WEBHOOK_SECRET
from tests.api.making import portfolio_make
from tests.loopback.messengers import MailServer, Messengers
from tests.tokens import token_of

pytestmark = pytest.mark.django_db
PAGE = "/account/alerts/"
API = "/api/v1/alerts/"
CHANNELS = "/api/v1/alert-channels/"


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    return portfolio_make(owner=alice, name="Main")


@pytest.fixture
def page(alice: User, client_of: Callable[[Any], Client]) -> Client:
    return client_of(alice)


def api_of(user: User) -> Client:
    return Client(headers={"Authorization": f"Token {token_of(user)}", "Accept": "application/json"})


def sent(client: Client, method: str, url: str, body: Any = None) -> Any:
    return getattr(client, method)(url, body, content_type="application/json")


def raised(portfolio: Portfolio, key: str = "a") -> Alert:
    made = alert_raise(kind="breaker", key=key, title=f"Alert {key}", portfolio_id=portfolio.pk, at=NOW)
    return made[0]


def test_alerts_are_listed_and_read(page: Client, portfolio: Portfolio) -> None:
    """The bell counts what was not read; reading all of it empties the count."""
    raised(portfolio)
    body = page.get(PAGE).content.decode()
    assert "Alert a" in body
    assert "Mark all as read" in body
    bell = page.get(reverse("dashboard:portfolio", args=[portfolio.pk])).content.decode()
    assert '<span class="count"><span class="vh">unread: </span>1</span>' in bell
    assert page.post(f"{PAGE}read/").status_code == 302
    assert "Mark all as read" not in page.get(PAGE).content.decode()
    assert Alert.objects.get().read_at is not None


def test_a_channel_is_added_tested_changed_and_removed(page: Client, messengers: Messengers) -> None:
    """Its token goes in and never comes out."""
    form = page.get(f"{PAGE}?service=telegram").content.decode()
    assert "Token of your bot" in form
    answer = page.post(
        f"{PAGE}?service=telegram",
        {"name": "Phone", "token": TELEGRAM_TOKEN, "chat": "987654321", "kinds": ["breaker", "conflict"]},
    )
    assert answer.status_code == 302
    channel = AlertChannel.objects.get()
    assert (channel.kinds, channel.mask) == (["breaker", "conflict"], "123456789… to 987654321")
    assert "The test to “Phone” was taken." in _followed(page, f"{PAGE}channels/{channel.pk}/test/")
    messengers.answer_with(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
    failed = _followed(page, f"{PAGE}channels/{channel.pk}/test/")
    assert "The test to “Phone” failed." in failed
    assert "Unauthorized" in failed
    assert TELEGRAM_TOKEN not in failed
    _followed(page, f"{PAGE}channels/{channel.pk}/", {"name": "My phone", "kinds": ["order"]})
    channel.refresh_from_db()
    assert (channel.name, channel.kinds, channel.enabled) == ("My phone", ["order"], False)
    _followed(page, f"{PAGE}channels/{channel.pk}/remove/")
    assert not AlertChannel.objects.exists()
    actions = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert actions == ["alert_channel.add", "alert_channel.change", "alert_channel.remove"]
    assert TELEGRAM_TOKEN.partition(":")[2] not in str(list(AuditEntry.objects.values()))


def _followed(page: Client, url: str, body: Any = None) -> str:
    return str(page.post(url, body or {}, follow=True).content.decode())


def test_a_refusal_stands_beside_its_field_and_brings_nothing_back(page: Client) -> None:
    """Neither the token nor the secret is in the page again."""
    answer = page.post(
        f"{PAGE}?service=telegram", {"name": "Phone", "token": "12345:typo-typo-typo", "chat": "1"}
    )
    body = answer.content.decode()
    assert answer.status_code == 400
    assert 'id="id_token_error"' in body
    assert "typo-typo-typo" not in body
    assert page.get(f"{PAGE}?service=carrier_pigeon").status_code == 404
    assert page.post(PAGE, {"name": "x"}).status_code == 400


def test_mail_needs_a_confirmed_address(
    page: Client, alice: User, mail_server: MailServer, verified: Callable[[User], str]
) -> None:
    """The page says where to confirm one; afterwards it can be chosen."""
    assert "Confirm an address" in page.get(f"{PAGE}?service=email").content.decode()
    verified(alice)
    page.post(f"{PAGE}?service=email", {"name": "Mail", "address": alice.email, "kinds": ["breaker"]})
    channel = AlertChannel.objects.get()
    _followed(page, f"{PAGE}channels/{channel.pk}/test/")
    assert [mail["To"] for mail in mail_server.mails] == [alice.email]


def test_quiet_hours_by_page(page: Client, alice: User) -> None:
    """Set, refused where half of them is missing, and taken away."""
    assert "Quiet hours are kept." in _followed(page, f"{PAGE}quiet/", {"begins": "22:00", "ends": "07:00"})
    assert "22:00–07:00" in page.get(PAGE).content.decode()
    assert "need a beginning and an end" in _followed(page, f"{PAGE}quiet/", {"begins": "22:00", "ends": ""})
    assert "hours and minutes" in _followed(page, f"{PAGE}quiet/", {"begins": "late", "ends": "7"})
    assert QuietTime.objects.count() == 1
    assert "no quiet hours now" in _followed(page, f"{PAGE}quiet/", {"begins": "", "ends": ""})
    assert not QuietTime.objects.exists()


def test_the_same_by_api(alice: User, portfolio: Portfolio, messengers: Messengers) -> None:
    """Add, list, change, test, remove; read alerts; quiet hours."""
    api = api_of(alice)
    address = {"url": f"{messengers.url}/hook", "secret": WEBHOOK_SECRET}
    made = sent(api, "post", CHANNELS, {"service": "webhook", "name": "Program", "address": address})
    assert made.status_code == 201
    channel = made.json()
    assert channel["mask"] == f"{messengers.url}/…"
    assert WEBHOOK_SECRET not in made.content.decode()
    assert api.get(CHANNELS).json() == {"count": 1, "results": [channel]}
    one = f"{CHANNELS}{channel['id']}/"
    changed = sent(api, "patch", one, {"kinds": ["conflict"]}).json()
    assert (changed["kinds"], changed["name"], changed["enabled"]) == (["conflict"], "Program", True)
    assert sent(api, "post", f"{one}test/").json() == {"sent": True, "error": ""}
    first, second = raised(portfolio), raised(portfolio, "b")
    listed = api.get(f"{API}?unread=true").json()
    assert [row["id"] for row in listed["results"]] == [second.pk, first.pk]
    assert (listed["count"], listed["unread"]) == (2, 2)
    assert sent(api, "post", f"{API}read/", {"ids": [first.pk]}).json() == {"read": 1, "unread": 1}
    assert sent(api, "post", f"{API}read/", {}).json() == {"read": 1, "unread": 0}
    quiet = sent(api, "put", f"{API}quiet-hours/", {"begins": "22:00", "ends": "07:00"}).json()
    assert quiet == {"begins": "22:00", "ends": "07:00", "zone": "UTC"}
    assert api.delete(one).status_code == 204
    assert api.get(one).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (
            {"service": "webhook", "name": "x", "address": {"url": "http://127.0.0.1/", "secret": "s" * 20}},
            "url",
        ),
        ({"service": "other", "name": "x", "address": {"url": "file:///etc/passwd"}}, "url"),
        ({"service": "telegram", "name": "x", "address": {}}, "token"),
        ({"service": "slack", "name": "x", "address": {"url": "https://evil.example/"}}, "url"),
    ],
)
def test_the_api_refuses_by_field(alice: User, body: dict[str, Any], field: str) -> None:
    """400 with the field, and nothing is kept."""
    answer = sent(api_of(alice), "post", CHANNELS, body)
    assert answer.status_code == 400
    assert field in answer.content.decode()
    assert not AlertChannel.objects.exists()


def test_kinds_for_operators_are_not_offered_to_others(alice: User, messengers: Messengers) -> None:
    """Nor taken."""
    address = {"url": f"{messengers.url}/hook", "secret": WEBHOOK_SECRET}
    body = {"service": "webhook", "name": "x", "address": address, "kinds": ["workers"]}
    assert sent(api_of(alice), "post", CHANNELS, body).status_code == 400
    assert not AlertChannel.objects.exists()


def test_charlie_sees_and_changes_nothing(
    charlie: User, webhook: AlertChannel, portfolio: Portfolio, messengers: Messengers,
    client_of: Callable[[Any], Client],
) -> None:  # fmt: skip
    """Pages and endpoints alike say that there is no such thing; signed out one is sent to sign in."""
    raised(portfolio)
    outsider, api, nobody = client_of(charlie), api_of(charlie), Client()
    body = outsider.get(PAGE).content.decode()
    assert "Alert a" not in body
    assert webhook.mask not in body
    for rest in ("", "test/", "remove/"):
        assert outsider.post(f"{PAGE}channels/{webhook.pk}/{rest}", {"name": "Mine"}).status_code == 404
    one = f"{CHANNELS}{webhook.pk}/"
    assert [
        api.get(one).status_code,
        sent(api, "patch", one, {"name": "Mine"}).status_code,
        api.delete(one).status_code,
        sent(api, "post", f"{one}test/").status_code,
    ] == [404] * 4
    assert api.get(CHANNELS).json()["count"] == 0
    assert api.get(API).json()["count"] == 0
    assert sent(api, "post", f"{API}read/", {}).json() == {"read": 0, "unread": 0}
    webhook.refresh_from_db()
    assert webhook.name == "My webhook"
    assert Alert.objects.get().read_at is None
    assert messengers.received == []
    assert nobody.get(PAGE).status_code == 302
    assert nobody.get(API).status_code == 401
