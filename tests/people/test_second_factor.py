"""SEC-1: authenticator app, recovery codes, and what they open: live trading, API tokens, the admin."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.core.internal import ratelimit
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.core import mail
from django.db import transaction
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, User
from accounts.sealing import text_open
from accounts.second_factor import second_factor_active
from tests.conftest import CAST_PASSWORD

LOCKED = "Too many failed attempts. Wait 5 minutes at most, then try again."


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock of its own for codes and counters of failures: no test sees a code run out."""
    shown = SimpleNamespace(now=1_800_000_000.0)
    real = ratelimit.time
    monkeypatch.setattr(totp, "time", SimpleNamespace(time=lambda: shown.now))
    faked = SimpleNamespace(time=lambda: shown.now, monotonic=real.monotonic, sleep=real.sleep)
    monkeypatch.setattr(ratelimit, "time", faked)
    return shown


def code_of(secret: str) -> str:
    return totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))


def sign_in(client: Client, user: User) -> Any:
    return client.post(reverse("account_login"), {"login": user.email, "password": CAST_PASSWORD})


def confirm(client: Client) -> None:
    client.post(reverse("account_reauthenticate"), {"password": CAST_PASSWORD})


@pytest.fixture
def inside(alice: User, client: Client, clock: SimpleNamespace) -> Client:
    """Alice, signed in, with a verified address and her password just confirmed."""
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    sign_in(client, alice)
    confirm(client)
    return client


@pytest.fixture
def _commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do at once what waits for a commit: a test's transaction has none."""
    monkeypatch.setattr(transaction, "on_commit", lambda done, **how: done())


@pytest.fixture
def secret(inside: Client, clock: SimpleNamespace, _commits: None) -> str:
    """The secret of the app that Alice has just added; its code of this minute is used up."""
    page = inside.get(reverse("mfa_activate_totp"))
    secret = page.context["form"].secret
    assert page.context["totp_svg_data_uri"].startswith("data:image/svg+xml;base64,")
    answer = inside.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    assert answer.headers["Location"] == reverse("mfa_view_recovery_codes")
    return secret


def codes_shown(client: Client) -> list[str]:
    return re.findall(r"<li>(\d{8})</li>", client.get(reverse("mfa_view_recovery_codes")).content.decode())


def test_an_app_is_added_and_asked_for(alice: User, secret: str, clock: SimpleNamespace) -> None:
    """SEC-1: sealed at rest, in the audit log, told by mail; signing in then stops at the code."""
    assert second_factor_active(user=alice)
    stored = Authenticator.objects.get(user=alice, type="totp").data["secret"]
    assert secret not in stored
    assert text_open(sealed=stored) == secret
    texts = AuditEntry.objects.filter(action="second_factor.add").values_list("text", flat=True)
    assert set(texts) == {"Added a second factor: authenticator app", "Added a second factor: recovery codes"}
    assert [message.to for message in mail.outbox] == [["alice@example.com"]]
    client = Client()
    assert sign_in(client, alice).headers["Location"] == reverse("mfa_authenticate")
    assert client.get("/account/").status_code == 302
    clock.now += 30
    code = code_of(secret)
    assert client.post(reverse("mfa_authenticate"), {"code": code}).headers["Location"] == "/"
    assert client.get("/account/").status_code == 200
    again = Client()
    sign_in(again, alice)
    assert "Incorrect code" in again.post(reverse("mfa_authenticate"), {"code": code}).content.decode()


def test_it_needs_the_password_once_more_and_a_verified_address(alice: User, client: Client) -> None:
    """SEC-1: nothing changes before either."""
    address = EmailAddress.objects.create(user=alice, email=alice.email, verified=False, primary=True)
    sign_in(client, alice)
    confirm(client)
    for name in ("mfa_activate_totp", "mfa_add_webauthn"):
        assert client.get(reverse(name)).headers["Location"] == reverse("mfa_index")
    assert "is not verified" in client.get(reverse("mfa_index")).content.decode()
    address.verified = True
    address.save()
    client.post(reverse("account_logout"))
    sign_in(client, alice)
    for name in ("mfa_activate_totp", "mfa_add_webauthn"):
        assert client.get(reverse(name)).headers["Location"].startswith(reverse("account_reauthenticate"))
    assert not second_factor_active(user=alice)


def test_recovery_codes_are_shown_once_and_work_once(alice: User, inside: Client, secret: str) -> None:
    """SEC-1: ten, seen a single time; each opens the account once; new ones void the old."""
    codes = codes_shown(inside)
    assert len(set(codes)) == 10
    assert codes_shown(inside) == []
    assert inside.get(reverse("mfa_download_recovery_codes")).status_code == 403
    for expected in (302, 200):
        client = Client()
        sign_in(client, alice)
        assert client.post(reverse("mfa_authenticate"), {"code": codes[0]}).status_code == expected
    inside.post(reverse("mfa_generate_recovery_codes"))
    fresh = codes_shown(inside)
    assert len(fresh) == 10
    assert not set(fresh) & set(codes)
    client = Client()
    sign_in(client, alice)
    assert client.post(reverse("mfa_authenticate"), {"code": codes[1]}).status_code == 200
    assert client.post(reverse("mfa_authenticate"), {"code": fresh[1]}).status_code == 302
    assert AuditEntry.objects.filter(action="second_factor.codes").count() == 1


def test_codes_lock_and_unlock(alice: User, inside: Client, secret: str, clock: SimpleNamespace) -> None:
    """SEC-1: app codes and recovery codes share the count; the open session goes on."""
    code = codes_shown(inside)[0]
    client = Client()
    sign_in(client, alice)
    for wrong in ("000000", "00000000", "1", "2", "3"):
        assert LOCKED not in client.post(reverse("mfa_authenticate"), {"code": wrong}).content.decode()
    assert LOCKED in client.post(reverse("mfa_authenticate"), {"code": code}).content.decode()
    assert inside.get("/account/").status_code == 200
    clock.now += 299
    assert LOCKED in client.post(reverse("mfa_authenticate"), {"code": code}).content.decode()
    clock.now += 2
    assert client.post(reverse("mfa_authenticate"), {"code": code}).status_code == 302


def test_removing_the_last_factor_takes_the_codes_along(alice: User, inside: Client, secret: str) -> None:
    """SEC-1: the password alone opens the account then, and live trading's gate shuts."""
    inside.post(reverse("mfa_deactivate_totp"))
    assert not Authenticator.objects.filter(user=alice).exists()
    assert not second_factor_active(user=alice)
    assert sign_in(Client(), alice).headers["Location"] == "/"
    texts = AuditEntry.objects.filter(action="second_factor.remove").values_list("text", flat=True)
    assert set(texts) == {
        "Removed a second factor: authenticator app",
        "Removed a second factor: recovery codes",
    }


def test_recovery_codes_alone_are_no_second_factor(alice: User) -> None:
    """SEC-1: they stand in for one."""
    RecoveryCodes.activate(alice)
    assert not second_factor_active(user=alice)


def test_the_api_asks_for_the_code_too(alice: User, secret: str, clock: SimpleNamespace) -> None:
    """SEC-1: a token is no way around the second factor."""

    def token(**more: str) -> Any:
        body = {"email": alice.email, "password": CAST_PASSWORD, **more}
        return Client().post(reverse("api:token"), body, content_type="application/json")

    clock.now += 30
    without = token()
    assert (without.status_code, list(without.json()["errors"])) == (400, ["code"])
    assert token(code="000000").status_code == 400
    assert token(code=code_of(secret)).status_code == 200
    assert [token(code="000000").status_code for _ in range(6)] == [400] * 5 + [429]


def test_the_admin_asks_for_a_second_factor(
    alice: User, secret: str, settings: Any, client_of: Callable[[User], Client], bob: User
) -> None:
    """SEC-1: role and factor both; the admin's own password form is no door of its own."""
    settings.ADMIN_SECOND_FACTOR = True
    for person in (alice, bob):
        person.role = "operator"
        person.save()
    page = reverse("admin:index")
    assert client_of(alice).get(page).status_code == 200
    without = client_of(bob)
    assert without.get(page, follow=True).redirect_chain[-1][0] == reverse("mfa_index")
    settings.ADMIN_SECOND_FACTOR = False
    assert without.get(page).status_code == 200
    stranger = Client().post(
        reverse("admin:login"), {"username": bob.email, "password": CAST_PASSWORD, "next": page}, follow=True
    )
    assert stranger.redirect_chain[-1][0].startswith(reverse("account_login"))
    assert not stranger.context["user"].is_authenticated


def test_an_administrator_takes_a_lost_factor_away(
    alice: User, secret: str, client_of: Callable[[User], Client]
) -> None:
    """SEC-1: logged; nobody else can, and nobody can read what is sealed."""
    root = client_of(User.objects.create_superuser("root@example.com", "a long enough password"))
    factor = Authenticator.objects.get(user=alice, type="totp")
    shown = root.get(reverse("admin:mfa_authenticator_change", args=[factor.pk])).content.decode()
    assert factor.data["secret"] not in shown
    delete = reverse("admin:mfa_authenticator_delete", args=[factor.pk])
    operator = User.objects.create_user("op@example.com", "a long enough password", role="operator")
    assert client_of(operator).post(delete, {"post": "yes"}).status_code == 403
    assert second_factor_active(user=alice)
    assert root.post(delete, {"post": "yes"}).status_code == 302
    assert not second_factor_active(user=alice)
    entry = AuditEntry.objects.get(action="second_factor.remove")
    assert (entry.via, entry.actor_name) == ("admin", "root@example.com")


def test_every_page_of_the_account_is_ours(alice: User, inside: Client, secret: str) -> None:
    """VIEW-4: no page of a library is left as it came: each carries our style and no script inside."""
    names = (
        "account_email", "account_change_password", "account_reauthenticate", "account_logout",
        "account_inactive", "account_email_verification_sent", "account_reset_password_done",
        "mfa_index", "mfa_reauthenticate", "mfa_deactivate_totp", "mfa_view_recovery_codes",
        "mfa_generate_recovery_codes", "mfa_list_webauthn", "mfa_add_webauthn", "usersessions_list",
    )  # fmt: skip
    for name in names:
        answer = inside.get(reverse(name))
        assert answer.status_code == 200, name
        text = answer.content.decode()
        assert "css/tokens.css" in text, name
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", text), name
        assert " style=" not in text, name
