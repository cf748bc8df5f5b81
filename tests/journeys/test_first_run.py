"""A stranger's first minutes on the real server: account, portfolio, preview, follow, money, and out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

from django.db import connection
from playwright.sync_api import expect

from accounts.models import Portfolio
from allocation.models import Follow
from core.clock import utc_now
from engine.commands import command_run, commands_due
from engine.portfolios import cash_deposit, portfolio_open
from tests.conftest import CAST_PASSWORD
from tests.running import wait_until

Opener = Callable[..., Any]
PASSWORD = "a horse of another colour"


def sign_in(page: Any, server: str, email: str, password: str) -> None:
    """Sign in by the form."""
    page.goto(f"{server}/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_first_run(asgi_server: str, open_page: Opener) -> None:
    """FOL-1, VIEW-2, VIEW-4: from sign-up to two followed traders, by the controls a person sees."""
    page = open_page(asgi_server)
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("Email").fill("stranger@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password (again)").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()

    expect(page.get_by_role("heading", name="Set up your portfolio")).to_be_visible()
    page.get_by_role("textbox", name="Name").fill("First book")
    page.get_by_label("Perpetuals").check()
    page.get_by_label("Balanced").check()
    page.get_by_role("button", name="Create portfolio").click()
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "2")

    for name in ("Grok 4", "Qwen3 Max"):
        page.goto(f"{page.url.split('/traders')[0].rstrip('/')}/traders/add/")
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=f"Preview of {name}")).to_be_attached()
        expect(page.get_by_role("heading", name="After following")).to_be_visible()
        page.get_by_role("button", name=f"Follow {name}").click()
        expect(page.get_by_text(f"Following {name}.")).to_be_visible()
    expect(page.locator("#connection")).to_contain_text("Live")
    expect(page.locator("#followed > tr")).to_have_count(2)
    expect(page.locator("#followed > tr").first).to_contain_text("50.00%")

    page.get_by_role("button", name="Pause Grok 4").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text("accepted")
    with ThreadPoolExecutor(1) as worker:
        worker.submit(_commands_run).result()
    expect(page.locator("#toasts")).to_contain_text("Grok 4 is paused")
    expect(page.get_by_role("button", name="Resume Grok 4")).to_be_visible()
    page.get_by_role("button", name="Remove Grok 4").click()
    page.get_by_label("Hand them to me").check()
    page.get_by_role("dialog").get_by_role("button", name="Remove Grok 4").click()
    expect(page.get_by_text("its positions are yours now")).to_be_visible()
    assert set(Follow.objects.values_list("trader__name", "status")) == {
        ("Grok 4", "leaving"),
        ("Qwen3 Max", "active"),
    }

    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to Ensemble")).to_be_visible()


def test_page_follows_the_database(asgi_server: str, open_page: Opener, alice: Any, charlie: Any) -> None:
    """VIEW-2, SEC-1: a commit elsewhere moves Alice's open page; Charlie's browser is shown nothing of it."""
    portfolio = portfolio_open(owner=alice, initial_cash=Decimal(10000), now=utc_now(), name="Arena")
    Portfolio.objects.filter(pk=portfolio.pk).update(world="live")
    portfolio.refresh_from_db()
    page = open_page(asgi_server)
    sign_in(page, asgi_server, "alice@example.com", CAST_PASSWORD)
    expect(page.locator("#connection")).to_contain_text("Live")
    expect(page.locator("#kpi-equity")).to_have_text("$10,000.00")
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(_deposit, portfolio, Decimal("123.45")).result()
    expect(page.locator("#kpi-equity")).to_have_text("$10,123.45")
    expect(page.locator("#activity > li").first).to_contain_text("Deposited $123.45")

    other = open_page(asgi_server, forgiven="status of 404")
    sign_in(other, asgi_server, "charlie@example.com", CAST_PASSWORD)
    other.wait_for_url("**/portfolios/new/")
    other.goto(f"{asgi_server}/portfolios/{portfolio.pk}/")
    expect(other.get_by_role("heading", name="Page not found")).to_be_visible()
    heard = other.evaluate(
        """(path) => new Promise((done) => {
          const socket = new WebSocket(location.origin.replace("http", "ws") + path), heard = [];
          socket.onmessage = ({ data }) => heard.push(data);
          socket.onclose = ({ code }) => done({ code, heard });
        })""",
        f"/ws/portfolios/{portfolio.pk}/",
    )
    assert heard == {"code": 4404, "heard": []}


def _commands_run() -> None:
    """Carry out what was asked for, as the worker of the queue does."""
    try:
        for command_id in commands_due(now=utc_now()):
            command_run(command_id=command_id, now=utc_now())
    finally:
        connection.close()


def _deposit(portfolio: Portfolio, amount: Decimal) -> None:
    """Deposit from another thread, as another process would."""
    try:
        cash_deposit(portfolio=portfolio, amount=amount, key="a", now=utc_now())
    finally:
        connection.close()


def test_double_press_deposits_once(asgi_server: str, open_page: Opener, alice: Any) -> None:
    """ALL-5: an impatient double click is one deposit."""
    portfolio = portfolio_open(owner=alice, initial_cash=Decimal(10000), now=utc_now(), name="Arena")
    page = open_page(asgi_server)
    sign_in(page, asgi_server, "alice@example.com", CAST_PASSWORD)
    page.goto(f"{asgi_server}/portfolios/{portfolio.pk}/money/")
    page.locator("#deposit_amount").fill("250")
    page.get_by_role("button", name="Deposit").dblclick()
    expect(page.get_by_text("Deposited $250.00.")).to_be_visible()
    assert list(portfolio.ledger.values_list("amount", flat=True)) == [10000, 250]


def test_password_change_and_wrong_password(asgi_server: str, open_page: Opener, alice: Any) -> None:
    """Sign in, change the password, and the old one no longer opens."""
    page = open_page(asgi_server, forgiven="status of 400")
    sign_in(page, asgi_server, "alice@example.com", "not the password")
    expect(page.get_by_role("alert")).to_contain_text("not correct")
    sign_in(page, asgi_server, "alice@example.com", CAST_PASSWORD)
    page.wait_for_url("**/portfolios/new/")
    page.goto(f"{asgi_server}/accounts/password/change/")
    page.get_by_label("Current Password").fill(CAST_PASSWORD)
    page.get_by_label("New Password", exact=True).fill(PASSWORD)
    page.get_by_label("New Password (again)").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    wait_until(lambda: not _opens(alice, CAST_PASSWORD) and _opens(alice, PASSWORD), what="the new password")


def _opens(user: Any, password: str) -> bool:
    user.refresh_from_db()
    return bool(user.check_password(password))
