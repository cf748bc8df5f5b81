"""Pages and API in the reader's language, numbers in its signs, times in the person's zone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone, translation

from accounts.models import Portfolio, User
from accounts.words import language_chosen, said, said_within
from accounts.zones import zone_names, zone_of, zone_offsets
from dashboard.consumers import message_said
from dashboard.fields import NumberField
from dashboard.templatetags.ensemble import moment, percent, usd

pytestmark = pytest.mark.django_db
NUMERIC = re.compile(
    r'\b(?:x|x1|x2|cx|y|width|height|value|max|min|low|high|d|points|href|id|name)="([^"]*)"'
)


def body(response: Any) -> str:
    """The page's text."""
    return str(response.content.decode())


def test_a_person_reads_every_page_in_their_language(page: Client, alice: User, portfolio: Portfolio) -> None:
    """The person's own language counts, whatever the browser asks for, and nothing machines read changes."""
    for name in ("", "traders/", "traders/add/", "orders/", "orders/closed/", "risk/", "money/", "settings/"):
        address = f"/portfolios/{portfolio.pk}/{name}"
        alice.language = "en"
        alice.save()
        english = body(page.get(address, headers={"Accept-Language": "pl"}))
        assert '<html lang="en" dir="ltr"' in english
        alice.language = "pl"
        alice.save()
        response = page.get(address)
        polish = body(response)
        assert response.headers["Content-Language"] == "pl"
        assert '<html lang="pl" dir="ltr"' in polish
        assert "js/words/pl.js" in polish
        assert "js/words" not in english
        assert "Zatrzymanie awaryjne" in polish
        assert "Emergency stop" not in polish
        assert _machine(english) == _machine(polish), name


def _machine(text: str) -> list[str]:
    """What stands in attributes that machines read, without tokens made anew for each page."""
    text = re.sub(r'<input[^>]*(?:csrfmiddlewaretoken|name="once"|class="input num")[^>]*>', "", text)
    text = re.sub(r'<(?:button|option)[^>]*value="(?:en|pl)"[^>]*>', "", text)
    return [
        value
        for value in NUMERIC.findall(text)
        if "token" not in value and not re.fullmatch(r"[0-9a-f-]{36}", value)
    ]


def test_the_switch_keeps_the_language(page: Client, alice: User, client: Client) -> None:
    """In the browser for whoever is not signed in, and with the person for every device."""
    answer = client.post("/language/", {"language": "pl", "next": "/accounts/login/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/login/")
    assert "Zaloguj się do Ensemble" in body(client.get("/accounts/login/"))
    page.post("/language/", {"language": "pl", "next": "https://elsewhere.example/"}, follow=False)
    alice.refresh_from_db()
    assert alice.language == "pl"
    assert (
        page.post("/language/", {"language": "pl", "next": "//elsewhere.example"}).headers["Location"] == "/"
    )
    page.post("/language/", {"language": "tlh"})
    alice.refresh_from_db()
    assert alice.language == "pl"
    assert page.get("/language/").status_code == 405


def test_without_a_choice_the_browser_is_asked() -> None:
    """Own language, then cookie, then Accept-Language by its weights, then English."""
    polish = User(language="pl")
    assert language_chosen(user=polish, cookie="en", accepted="en") == "pl"
    assert language_chosen(user=None, cookie="pl", accepted="en") == "pl"
    assert language_chosen(user=User(), cookie="", accepted="de, pl-PL;q=0.8, en;q=0.5") == "pl"
    assert language_chosen(user=None, cookie="xx", accepted="de") == "en"
    assert language_chosen(user=None, cookie="", accepted="") == "en"


def test_the_api_answers_in_the_language_it_is_asked_in(page: Client, alice: User) -> None:
    """Programs have no cookie and no person's language: Accept-Language alone counts."""
    alice.language = "pl"
    alice.save()
    english = page.get("/api/v1/portfolios/999999/").json()
    polish = page.get("/api/v1/portfolios/999999/", headers={"Accept-Language": "pl"}).json()
    assert english["detail"] == "You have no portfolio with the number 999999."
    assert polish["detail"] == "Nie masz portfela o numerze 999999."
    assert {**english, "detail": "", "title": ""} == {**polish, "detail": "", "title": ""}


def test_sentences_are_said_and_names_are_not() -> None:
    """A stored reason is said to who reads it; a name that is an English word stays a name."""
    message = {
        "name": "Balanced",
        "code": "long",
        "text": "Waiting for capital for BTC",
        "errors": {"name": ["It cannot be empty."]},
    }
    assert said_within(message, language="pl") == {
        "name": "Balanced",
        "code": "long",
        "text": "Czeka na kapitał dla BTC",
        "errors": {"name": ["Nie może być puste."]},
    }
    assert said_within(message, language="en") is message
    assert said("$1,000.00 needed, $12.50 free", language="pl") == (
        "potrzeba 1\u202f000,00\u00a0$, wolne 12,50\u00a0$"
    )
    sent = '{"type":"change","set":{"activity":{"1":{"text":"Scaled to its share","kind":"capped"}}}}'
    assert message_said(sent, language="en") is sent
    assert message_said(sent, language="pl") == sent.replace(
        "Scaled to its share", "Przeskalowane do udziału"
    )


def test_numbers_are_written_and_read_in_polish() -> None:
    """Amounts, percent, and a field that refuses what could mean two numbers."""
    field = NumberField(decimal_places=3)
    with translation.override("pl"):
        assert usd(Decimal("-1234.5")) == "\u22121\u202f234,50\u00a0$"
        assert percent(Decimal("12.5")) == "12,50%"
        assert field.clean("1 234,5") == Decimal("1234.5")
        assert field.clean("0,5") == field.clean("0.5") == Decimal("0.5")
        with pytest.raises(ValidationError, match="może oznaczać tysiąc albo ułamek"):
            field.clean("1,234")
        shown = field.prepare_value(Decimal("61.125"))
        assert shown == "61,1250"
        assert field.clean(shown) == Decimal("61.125")
        assert field.prepare_value(field.bound_data("1.234", None)) == "1.234"
    assert usd(Decimal("-1234.5")) == "\u2212$1,234.50"
    assert field.clean("61.125") == Decimal("61.125")
    assert field.prepare_value("61.125") == "61.125"
    with pytest.raises(ValidationError):
        field.clean("1,234")


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "29 mar 2026 01:59"),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "29 mar 2026 03:00"),
        (datetime(2026, 10, 25, 0, 59, tzinfo=UTC), "25 paź 2026 02:59"),
        (datetime(2026, 10, 25, 1, 0, tzinfo=UTC), "25 paź 2026 02:00"),
    ],
)
def test_both_switches_of_the_year_are_right(at: datetime, shown: str) -> None:
    """On the server, and in the table that the browser's clocks use."""
    zone = ZoneInfo("Europe/Warsaw")
    with translation.override("pl"), timezone.override(zone):
        assert f">{shown}<" in moment(at, "j M Y H:i")
    seconds = int(at.timestamp())
    minutes = next(minutes for since, minutes in reversed(zone_offsets(zone=zone)) if since <= seconds)
    assert minutes * 60 == (at.astimezone(zone).utcoffset() or timedelta()).total_seconds()


def test_zones_with_odd_offsets_and_without_switches() -> None:
    """Kathmandu is three quarters of an hour apart all year; UTC needs no table."""
    assert [minutes for _, minutes in zone_offsets(zone=ZoneInfo("Asia/Kathmandu"))] == [345]
    assert zone_of(name="UTC") is None
    assert zone_of(name="Mars/Olympus") is None
    assert zone_names()[0] == "UTC"
    assert "Europe/Warsaw" in zone_names()


def test_a_person_chooses_a_zone(page: Client, alice: User, portfolio: Portfolio) -> None:
    """By name or by city; what is no zone is refused and changes nothing; the pages say which it is."""
    page.post("/account/profile/", {"language": "pl", "time_zone": "warsaw", "next": "/"})
    alice.refresh_from_db()
    assert (alice.language, alice.time_zone) == ("pl", "Europe/Warsaw")
    text = body(page.get("/account/"))
    assert 'value="Europe/Warsaw"' in text
    assert "wszystkie czasy: Europe/Warsaw" in text
    assert 'data-zone="Europe/Warsaw" data-offsets="' in text
    answer = page.post("/account/profile/", {"language": "pl", "time_zone": "Atlantis"}, follow=True)
    assert "Nie ma strefy czasowej „Atlantis”" in body(answer)
    alice.refresh_from_db()
    assert alice.time_zone == "Europe/Warsaw"
    page.post("/account/profile/", {"language": "en", "time_zone": "UTC"})
    alice.refresh_from_db()
    assert alice.time_zone == ""
    assert "all times UTC" in body(page.get(f"/portfolios/{portfolio.pk}/settings/"))


def test_a_profile_is_its_own_persons(
    client: Client, charlie: User, alice: User, client_of: Callable[[Any], Client]
) -> None:
    """Nobody signed in changes nothing; Charlie changes Charlie's."""
    assert (
        client.post("/account/profile/", {"language": "pl", "time_zone": "UTC"})
        .headers["Location"]
        .startswith("/accounts/login/")
    )
    client_of(charlie).post("/account/profile/", {"language": "pl", "time_zone": "Asia/Tokyo"})
    alice.refresh_from_db()
    charlie.refresh_from_db()
    assert (alice.language, alice.time_zone) == ("", "")
    assert (charlie.language, charlie.time_zone) == ("pl", "Asia/Tokyo")
