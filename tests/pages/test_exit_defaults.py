"""The form of a portfolio's exit defaults: what is typed becomes a command, nonsense is refused (EXT-2)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio
from dashboard import exit_forms
from engine.models import Command
from positions.models import ExitDefaults

pytestmark = pytest.mark.django_db
TYPED = {
    "stop_loss_pct": "6.5",
    "trail_from_pct": "10",
    "trail_by_pct": "4",
    "time_stop_days": "",
    "gain_0": "8",
    "part_0": "50",
    "gain_1": "15",
    "part_1": "100",
    "stops_at_venue": "on",
}


def _press(page: Client, portfolio: Portfolio, **body: str) -> Any:
    token = body.pop("token", str(uuid4()))
    return page.post(
        reverse("dashboard:exit_defaults_save", args=[portfolio.pk]), {**TYPED, **body, "token": token}
    )


def test_defaults_are_shown_as_they_stand(page: Client, portfolio: Portfolio) -> None:
    """EXT-1: the shipped rules, as people write them."""
    body = page.get(reverse("dashboard:settings", args=[portfolio.pk])).content.decode()
    for name, value in [
        ("stop_loss_pct", "8"),
        ("trail_from_pct", "12"),
        ("trail_by_pct", "5"),
        ("time_stop_days", "14"),
    ]:
        assert f'name="{name}" value="{value}"' in body
    assert 'name="gain_2"' in body
    assert 'name="gain_3"' not in body


def test_defaults_are_asked_for_by_command(page: Client, portfolio: Portfolio) -> None:
    """VIEW-3: pressed twice it is one command; an empty field switches a rule off."""
    token = str(uuid4())
    for _ in range(2):
        answer = _press(page, portfolio, token=token)
        assert (answer.status_code, answer.url) == (302, f"/portfolios/{portfolio.pk}/risk/")
    command = Command.objects.get()
    assert command.kind == "exit_defaults"
    assert command.data == {
        "stop_loss_pct": "6.5",
        "trail_from_pct": "10",
        "trail_by_pct": "4",
        "time_stop_days": "0",
        "take_profit": [
            {"gain_pct": "8", "fraction_pct": "50"},
            {"gain_pct": "15", "fraction_pct": "100"},
        ],
        "stops_at_venue": True,
    }


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"part_0": ""}, "part_0", "A step needs both"),
        ({"gain_1": ""}, "gain_1", "A step needs both"),
        ({"gain_1": "7"}, "gain_0", "higher gain"),
        ({"stop_loss_pct": "100"}, "stop_loss_pct", "below 100 %"),
        ({"stop_loss_pct": "-3"}, "stop_loss_pct", "greater than or equal to 0"),
        ({"trail_by_pct": ""}, "trail_by_pct", "needs both"),
        ({"time_stop_days": "soon"}, "time_stop_days", "Enter a number"),
        ({"time_stop_days": "4000"}, "time_stop_days", "3650"),
    ],
)
def test_nonsense_is_refused_beside_its_field(
    page: Client, portfolio: Portfolio, change: dict[str, str], field: str, words: str
) -> None:
    """EXT-2: what was typed stays, nothing is asked for."""
    answer = _press(page, portfolio, **change)
    assert answer.status_code == 400
    assert words in " ".join(answer.context["exits"].errors[field])
    assert words in answer.content.decode()
    assert not Command.objects.exists()
    assert not ExitDefaults.objects.exists()


def test_venue_stops_are_shut_where_no_venue_holds_them(
    page: Client, portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EXT-2: said in a sentence; a tick that was sent all the same asks for nothing."""
    monkeypatch.setattr(exit_forms, "stops_supported", lambda *, portfolio: False)
    body = page.get(reverse("dashboard:settings", args=[portfolio.pk])).content.decode()
    assert "holds no stops" in body
    _press(page, portfolio)
    assert "stops_at_venue" not in Command.objects.get().data
