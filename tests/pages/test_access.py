"""Forms against forgery, and where a person begins. Who may open what: `tests/permissions`."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio
from allocation.models import CapitalAccount


def test_forms_need_their_token_against_forgery(alice: Any, portfolio: Portfolio) -> None:
    """SEC-1: a form without its CSRF token is refused."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post(reverse("dashboard:cash_deposit", args=[portfolio.pk]), {"amount": "5"})
    assert answer.status_code == 403
    assert "Not allowed" in answer.content.decode()
    assert CapitalAccount.objects.get().free == 10000


def test_home_leads_to_the_last_portfolio(page: Client, alice: Any, portfolio: Portfolio) -> None:
    """VIEW-4: a first run opens a portfolio; later runs begin where one was."""
    assert page.get("/").url == f"/portfolios/{portfolio.pk}/"
    fresh = Client()
    other = type(alice).objects.create_user(email="new@example.com", password="a long enough word")
    fresh.force_login(other, backend="django.contrib.auth.backends.ModelBackend")
    assert fresh.get("/").url == "/portfolios/new/"
