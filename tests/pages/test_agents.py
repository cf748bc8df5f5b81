"""FOL-3, SEC-1: the page of a person's agents; secrets are shown once, and to their owner alone."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio, User
from accounts.sealing import text_open
from core.clock import utc_now
from engine.agents import agent_posted
from tests.answers import text_of
from traders.models import PushAgent
from traders.push import NewAgent, agent_register

pytestmark = pytest.mark.django_db
PAGE = "/agents/"


@pytest.fixture
def made(alice: User) -> NewAgent:
    """An agent of Alice's."""
    return agent_register(owner=alice, name="Grid bot", interval_s=300, via="page", now=utc_now())


def form(**changed: Any) -> dict[str, Any]:
    """Return what the form sends."""
    return {"token": str(uuid4()), "name": "Trend bot", "interval_s": "120", **changed}


def secret_of(agent: PushAgent) -> str:
    """Return what it signs with now."""
    agent.refresh_from_db()
    return text_open(sealed=agent.sealed)


def test_an_agent_is_registered_and_its_secret_shown_once(page: Client) -> None:
    """The same form once more makes no second agent and shows nothing."""
    sent = form()
    answer = page.post(PAGE, sent)
    agent = PushAgent.objects.get()
    body = answer.content.decode()
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert secret_of(agent) in body
    assert f"/api/v1/agents/{agent.public_id}/positions/" in body
    assert (agent.trader.name, agent.interval_s) == ("Trend bot", 120)
    again = page.post(PAGE, sent, follow=True)
    assert again.redirect_chain == [(PAGE, 302)]
    assert secret_of(agent) not in again.content.decode()
    assert PushAgent.objects.count() == 1
    assert ' style="' not in body


@pytest.mark.parametrize(
    "changed", [{"name": " "}, {"interval_s": "9"}, {"interval_s": "often"}, {"name": "n" * 81}]
)
def test_what_makes_no_sense_is_said_in_the_form(page: Client, changed: dict[str, str]) -> None:
    """Nothing is made."""
    assert page.post(PAGE, form(**changed)).status_code == 400
    assert not PushAgent.objects.exists()


def test_an_agent_is_changed_given_a_new_secret_and_revoked(page: Client, made: NewAgent) -> None:
    """The old secret ends with the new one; a second revoke finds nothing."""
    number = made.agent.public_id
    page.post(reverse("dashboard:agent_edit", args=[number]), {"name": "Renamed", "interval_s": "60"})
    page.post(reverse("dashboard:agent_edit", args=[number]), {"name": "Renamed", "interval_s": "1"})
    agent = PushAgent.objects.select_related("trader").get()
    assert (agent.trader.name, agent.trader.monogram, agent.interval_s) == ("Renamed", "RE", 60)
    body = page.post(reverse("dashboard:agent_secret", args=[number])).content.decode()
    assert secret_of(agent) != made.secret
    assert secret_of(agent) in body
    remove = reverse("dashboard:agent_remove", args=[number])
    assert page.get(remove).status_code == 405
    assert page.post(remove).status_code == 302
    agent.refresh_from_db()
    assert agent.sealed == ""
    assert page.post(remove).status_code == 404
    assert "Renamed" not in page.get(PAGE).content.decode()


def test_an_agent_that_posted_is_previewed_and_followed(
    page: Client, made: NewAgent, portfolio: Portfolio, charlie: User, client_of: Callable[[Any], Client]
) -> None:
    """FOL-1: on the page that adds traders, for its owner."""
    add = reverse("dashboard:trader_add", args=[portfolio.pk])
    address = f"{add}?kind=push&key={made.agent.public_id}"
    assert "not posted yet" in page.get(add).content.decode()
    silent = page.get(address)
    assert silent.status_code == 503
    assert "has not posted anything yet" in silent.content.decode()
    now = utc_now()
    agent_posted(
        agent=made.agent, sequence=1, at=now, equity=Decimal(4321), positions=(), digest="1", now=now
    )
    shown = page.get(address).content.decode()
    assert "Grid bot" in shown
    assert "4,321" in shown
    choice = {
        "token": str(uuid4()),
        "kind": "push",
        "key": str(made.agent.public_id),
        "join_mode": "new_only",
    }
    assert page.post(add, choice).status_code == 302
    refused = page.post(reverse("dashboard:agent_remove", args=[made.agent.public_id]), follow=True)
    assert "is followed by Arena" in refused.content.decode()
    assert secret_of(made.agent) == made.secret


def test_agents_are_their_owners_alone(
    made: NewAgent, portfolio: Portfolio, charlie: User, client_of: Callable[[Any], Client]
) -> None:
    """FOL-2: Charlie is told the same as for an agent that does not exist; nobody signs in first."""
    outsider, before = client_of(charlie), PushAgent.objects.values().get()
    assert "Grid bot" not in outsider.get(PAGE).content.decode()
    for name in ("agent_edit", "agent_secret", "agent_remove"):
        refused = outsider.post(reverse(f"dashboard:{name}", args=[made.agent.public_id]), {"name": "x"})
        missing = outsider.post(reverse(f"dashboard:{name}", args=[uuid4()]), {"name": "x"})
        assert refused.status_code == missing.status_code == 404
        assert text_of(refused) == text_of(missing)
        assert Client().post(reverse(f"dashboard:{name}", args=[made.agent.public_id])).status_code == 302
    assert Client().get(PAGE).url.startswith("/accounts/login/")
    assert PushAgent.objects.values().get() == before
