"""A person turns on a second factor in a real browser, then signs in by app, by passkey and by recovery code.

The authenticator is Chromium's virtual one. A passkey belongs to a name, hence "localhost".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import expect

from accounts.second_factor import second_factor_active
from tests.conftest import CAST_PASSWORD
from tests.journeys.test_first_run import sign_in
from tests.running import wait_until

Opener = Callable[..., Any]
PERIOD_S = 30


def code_now(secret: str, *, after: str = "") -> str:
    """The app's code, once it is another one than ``after`` and has a few seconds left."""

    def fresh() -> str:
        now = time.time()
        code = format_hotp_value(hotp_value(secret, int(now) // PERIOD_S))
        return code if code != after and now % PERIOD_S < PERIOD_S - 5 else ""

    return str(wait_until(fresh, timeout_s=PERIOD_S + 10, what="a fresh code"))


def sign_out(page: Any, server: str) -> None:
    """Sign out by the page that asks."""
    page.goto(f"{server}/accounts/logout/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/login/**")


def test_app_passkey_and_recovery_code(
    asgi_server: str, open_page: Opener, alice: Any, tmp_path: Path
) -> None:
    """SEC-1: set up by the controls a person sees; each of the three then opens the account."""
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    server = asgi_server.replace("127.0.0.1", "localhost")
    page = open_page(f"{server}/accounts/login/")
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    device.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True,
            }
        },
    )  # fmt: skip
    sign_in(page, server, "alice@example.com", CAST_PASSWORD)
    page.wait_for_url("**/portfolios/new/")

    # The app: the password once more, the code, then the recovery codes, shown once.
    page.goto(f"{server}/account/")
    page.get_by_role("link", name="Look after the authenticator app").click()
    page.get_by_role("link", name="Add an authenticator app").click()
    page.get_by_label("Password").fill(CAST_PASSWORD)
    page.get_by_role("button", name="Continue").click()
    secret = page.get_by_label("Key").input_value()
    used = code_now(secret)
    page.get_by_label("Code").fill(used)
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    codes = page.locator(".codes li").all_inner_texts()
    assert len(codes) == 10
    with page.expect_download() as download:
        page.get_by_role("link", name="Download them").click()
    download.value.save_as(tmp_path / "codes.txt")
    assert (tmp_path / "codes.txt").read_text().split() == codes
    page.get_by_role("link", name="I have kept them").click()
    assert second_factor_active(user=alice)

    # A passkey, named.
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Make the passkey").click()
    expect(page.get_by_text("Signs in alone")).to_be_visible()
    assert [key.wrap().name for key in Authenticator.objects.filter(user=alice, type="webauthn")] == [
        "Laptop"
    ]

    # In by the passkey alone.
    sign_out(page, server)
    page.get_by_role("button", name="Continue with a passkey").click()
    page.wait_for_url("**/portfolios/new/")

    # In by password and app, by keyboard.
    sign_out(page, server)
    page.get_by_label("Email").fill("alice@example.com")
    page.get_by_label("Password").fill(CAST_PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    page.keyboard.type(code_now(secret, after=used))
    page.keyboard.press("Enter")
    page.wait_for_url("**/portfolios/new/")

    # In by password and the same passkey as second factor, at the width of a phone.
    sign_out(page, server)
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in(page, server, "alice@example.com", CAST_PASSWORD)
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/portfolios/new/")

    # In by password and a recovery code, which works once.
    for opens in (True, False):
        sign_out(page, server)
        sign_in(page, server, "alice@example.com", CAST_PASSWORD)
        page.get_by_label("Code").fill(codes[0])
        page.get_by_role("button", name="Continue").click()
        if opens:
            page.wait_for_url("**/portfolios/new/")
            page.set_viewport_size({"width": 1440, "height": 900})
        else:
            expect(page.get_by_role("alert").filter(has_text="Incorrect code")).to_be_visible()
            break
