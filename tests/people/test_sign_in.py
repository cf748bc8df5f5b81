"""SEC-1, FOL-1: signing up, verifying, signing in from a new device, lockout at every door."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from allauth.account.models import EmailAddress
from allauth.core.internal import ratelimit
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts.devices import DEVICE_COOKIE
from accounts.models import AuditEntry, KnownDevice, User
from accounts.second_factor import email_verified
from accounts.signals import new_device_signed_in
from tests.conftest import CAST_PASSWORD

NEW = {"email": "Dora@Example.com", "password1": "a long enough one", "password2": "a long enough one"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
LOCKED = "Too many failed attempts. Wait 5 minutes at most, then try again."


def sign_in(client: Client, email: str, password: str = CAST_PASSWORD, **headers: str) -> Any:
    return client.post(
        reverse("account_login"),
        {"login": email, "password": password},
        headers={"user-agent": FIREFOX, **headers},
    )


def link_in(message: Any) -> str:
    found = re.search(r"http://testserver(/\S+)", message.body)
    assert found is not None, message.body
    return found.group(1)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the counters of failures see another time."""
    real = ratelimit.time

    def shift(seconds: float) -> None:
        shifted = SimpleNamespace(
            time=lambda: real.time() + seconds, monotonic=real.monotonic, sleep=real.sleep
        )
        monkeypatch.setattr(ratelimit, "time", shifted)

    return shift


def test_a_stranger_signs_up_goes_on_and_verifies_later(client: Client, db: None) -> None:
    """FOL-1: signed in at once; the link in the mail verifies the address; the account page says both."""
    answer = client.post(reverse("account_signup"), NEW)
    assert answer.status_code == 302
    dora = User.objects.get(email="dora@example.com")
    assert client.get("/account/").context["verified"] is False
    assert not email_verified(user=dora)
    (message,) = mail.outbox
    assert message.to == ["dora@example.com"]
    page = client.get(link_in(message))
    assert "This address is mine" in page.content.decode()
    client.post(link_in(message))
    assert email_verified(user=dora)
    assert client.get("/account/").context["verified"] is True
    assert AuditEntry.objects.filter(action="email.verify", actor_id=dora.pk).count() == 1


def test_mandatory_verification_lets_nobody_in_before(client: Client, db: None, settings: Any) -> None:
    """SEC-1: with EMAIL_VERIFICATION=mandatory the mail comes first."""
    settings.EMAIL_VERIFICATION = settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    answer = client.post(reverse("account_signup"), NEW)
    assert answer.headers["Location"] == reverse("account_email_verification_sent")
    assert client.get("/account/").status_code == 302
    client.post(link_in(mail.outbox[0]))
    assert EmailAddress.objects.get(email="dora@example.com").verified


def test_without_verification_every_address_counts(alice: User, settings: Any) -> None:
    """SEC-1: a server that verifies nothing does not ask for it either."""
    assert not email_verified(user=alice)
    settings.EMAIL_VERIFICATION = "none"
    assert email_verified(user=alice)


def test_an_address_changes_when_the_new_one_is_verified(alice: User, client: Client) -> None:
    """SEC-1: until then the old one signs in; the change asks for the password once more, and is logged."""
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    sign_in(client, alice.email)
    page = reverse("account_email")
    assert client.get(page).status_code == 200
    asked = client.post(page, {"email": "new@example.com", "action_add": ""}).headers["Location"]
    assert asked == f"{reverse('account_reauthenticate')}?next={quote(page, safe='')}"
    assert mail.outbox == []
    client.post(asked, {"password": CAST_PASSWORD, "next": page})
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    client.post(link_in(mail.outbox[-1]))
    alice.refresh_from_db()
    assert alice.email == "new@example.com"
    assert email_verified(user=alice)
    assert AuditEntry.objects.filter(action="email.change").count() == 1


def test_a_forgotten_password_is_reset_by_mail(alice: User, client: Client) -> None:
    """SEC-1: the link works once, ends other sessions, and an unknown address is not told apart."""
    other = Client()
    sign_in(other, alice.email)
    for address in ("alice@example.com", "nobody@example.com"):
        answer = client.post(reverse("account_reset_password"), {"email": address})
        assert answer.headers["Location"] == reverse("account_reset_password_done")
    link = link_in(next(message for message in mail.outbox if message.to == ["alice@example.com"]))
    form_at = client.get(link).headers["Location"]
    fresh = {"password1": "another long one", "password2": "another long one"}
    assert client.post(form_at, fresh).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("another long one")
    assert "does not work any more" in Client().get(link).content.decode()
    assert other.get("/account/").status_code == 302


def test_a_new_device_is_told_and_a_known_one_is_not(alice: User) -> None:
    """SEC-1: the first browser is remembered silently; the second is told once, with device and address."""
    told: list[dict[str, Any]] = []

    def listener(**event: Any) -> None:
        told.append(event)

    new_device_signed_in.connect(listener)
    try:
        first, second = Client(), Client()
        sign_in(first, alice.email)
        assert told == []
        sign_in(second, alice.email)
        second.post(reverse("account_logout"))
        sign_in(second, alice.email)
    finally:
        new_device_signed_in.disconnect(listener)
    (event,) = told
    assert (event["user"], event["device"], event["ip"]) == (alice, "Firefox on Linux", "127.0.0.1")
    assert KnownDevice.objects.filter(user=alice).count() == 2
    assert len(second.cookies[DEVICE_COOKIE].value) == 43
    assert AuditEntry.objects.get(action="device.new").text == (
        "Signed in from a new device: Firefox on Linux, 127.0.0.1"
    )


def test_the_sign_in_page_locks_and_unlocks(alice: User, later: Callable[[float], None]) -> None:
    """SEC-1: five failures lock, in words with how long; the right password is refused too; then it opens."""
    client, inside = Client(), Client()
    sign_in(inside, alice.email)
    for _ in range(5):
        page = sign_in(client, alice.email, "wrong")
        assert LOCKED not in page.content.decode()
    locked = sign_in(client, alice.email)
    assert LOCKED in locked.content.decode()
    assert client.get("/account/").status_code == 302
    assert inside.get("/account/").status_code == 200  # the owner's own session goes on
    again = inside.post(reverse("account_reauthenticate"), {"password": CAST_PASSWORD})
    assert again.status_code == 302  # and may still change what is protected
    later(200)
    assert LOCKED in sign_in(client, alice.email).content.decode()
    later(301)
    assert sign_in(client, alice.email).status_code == 302


def test_the_api_token_shares_the_count(alice: User, later: Callable[[float], None]) -> None:
    """SEC-1: neither door helps to guess at the other."""
    client = Client()
    for _ in range(3):
        sign_in(client, alice.email, "wrong")
    address = reverse("api:token")

    def token(password: str) -> Any:
        return client.post(
            address, {"email": alice.email, "password": password}, content_type="application/json"
        )

    assert [token("wrong").status_code for _ in range(3)] == [400, 400, 429]
    locked = token(CAST_PASSWORD)
    assert (locked.status_code, locked.headers["Retry-After"]) == (429, "300")
    later(301)
    assert token(CAST_PASSWORD).status_code == 200


def test_confirming_the_password_locks_and_unlocks(alice: User, later: Callable[[float], None]) -> None:
    """SEC-1: a session left open does not help to guess the password, and its owner's sign-in stays open."""
    client = Client()
    sign_in(client, alice.email)
    page = reverse("account_reauthenticate")
    for _ in range(5):
        assert LOCKED not in client.post(page, {"password": "wrong"}).content.decode()
    assert LOCKED in client.post(page, {"password": CAST_PASSWORD}).content.decode()
    assert sign_in(Client(), alice.email).status_code == 302
    later(301)
    assert client.post(page, {"password": CAST_PASSWORD}).status_code == 302


def test_asking_for_reset_mails_is_limited(alice: User, client: Client) -> None:
    """SEC-1: five in a minute for one address, then a page that says to wait."""
    answers = [client.post(reverse("account_reset_password"), {"email": alice.email}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [302] * 5 + [429]
    assert "Wait a minute" in answers[-1].content.decode()
    assert len(mail.outbox) == 5


def test_sessions_are_listed_and_signed_out(alice: User, charlie: User) -> None:
    """SEC-1: one, then all others; an outsider ends nobody's."""
    one, two, three = Client(), Client(), Client()
    for client in (one, two, three):
        sign_in(client, alice.email)
    page = one.get(reverse("usersessions_list"))
    assert page.context["session_count"] == 3
    assert "Firefox on Linux" in page.content.decode()
    other = next(
        session for session in page.context["sessions"] if session.session_key == two.session.session_key
    )
    outsider = Client()
    sign_in(outsider, charlie.email)
    end = reverse("dashboard:session_end", args=[other.pk])
    assert outsider.post(end).status_code == 404
    assert two.get("/account/").status_code == 200
    assert one.get(end).status_code == 405
    assert one.post(end).status_code == 302
    assert two.get("/account/").status_code == 302
    assert AuditEntry.objects.filter(action="session.end", actor_id=alice.pk).count() == 1
    one.post(reverse("usersessions_list"))
    assert three.get("/account/").status_code == 302
    assert one.get("/account/").status_code == 200


def test_mail_is_kept_where_there_is_no_mail_server(
    alice: User, client: Client, settings: Any, tmp_path: Path
) -> None:
    """SEC-1: one private file for each, so that a fresh clone can go on."""
    settings.EMAIL_BACKEND = "accounts.mail.KeptMail"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    client.post(reverse("account_reset_password"), {"email": alice.email})
    (kept,) = (tmp_path / "mail").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "mail").stat().st_mode & 0o777 == 0o700
    assert b"To: alice@example.com" in kept.read_bytes()


def test_a_mail_server_that_is_away_is_told(alice: User, client: Client, settings: Any) -> None:
    """SEC-1: the page answers, and says that no mail came."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    page = client.post(reverse("account_reset_password"), {"email": alice.email}, follow=True)
    assert page.status_code == 200
    assert "could not be sent just now" in page.content.decode()
