"""SEC-1: taking one's data along, and leaving: what goes, what stays, and when it is refused."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.usersessions.models import UserSession
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from accounts.models import AuditEntry, Credential, KnownDevice, LiveAccount, Portfolio, User
from accounts.sealing import text_open
from alerts.models import Alert, AlertChannel
from allocation.models import Follow
from engine.models import Command, Decision
from execution.models import Order
from tests.api.making import everything_make, portfolio_make
from tests.conftest import CAST_PASSWORD

EXPORT, DELETE = "/account/export/", "/account/delete/"


@pytest.fixture
def full(alice: User) -> Portfolio:
    """Alice's portfolio with one row of everything, and her name in its words."""
    portfolio = everything_make(owner=alice)
    Decision.objects.filter(portfolio=portfolio).update(reason="Asked by alice@example.com")
    return portfolio


@pytest.fixture
def inside(alice: User, client: Client) -> Client:
    """Alice, signed in, her password just confirmed."""
    client.post(reverse("account_login"), {"login": alice.email, "password": CAST_PASSWORD})
    client.post(reverse("account_reauthenticate"), {"password": CAST_PASSWORD})
    return client


def test_everything_is_taken_along_and_no_secret(
    alice: User, bob: User, full: Portfolio, inside: Client
) -> None:
    """DAT-1: one zip of JSON, each file readable; nothing of anybody else, nothing sealed."""
    other = portfolio_make(owner=bob)
    Credential.objects.update(sealed="what is sealed")
    answer = inside.get(EXPORT)
    assert answer.headers["Content-Type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert archive.testzip() is None
    books = {f"portfolios/{full.pk}/{what}.json" for what in ("orders", "fills", "ledger", "decisions")}
    names = set(archive.namelist())
    whole = {"profile.json", "sessions.json", "access.json", "portfolios.json", "follows.json", "audit.json"}
    assert whole | books <= names
    assert not any(name.startswith(f"portfolios/{other.pk}/") for name in names)
    files = {name: json.loads(archive.read(name)) for name in names}
    assert files["profile.json"]["email"] == "alice@example.com"
    assert [row["id"] for row in files["portfolios.json"]] == [full.pk]
    assert {row["portfolio_id"] for row in files["follows.json"]} == {full.pk}
    assert len(files[f"portfolios/{full.pk}/orders.json"]) == Order.objects.filter(portfolio=full).count()
    assert "account.export" in {row["action"] for row in files["audit.json"]}
    text = b"".join(archive.read(name) for name in names).decode()
    assert "bob@example.com" not in text
    for secret in (alice.password, "what is sealed"):
        assert secret not in text


def test_both_ask_who_is_there_and_only_the_owner(alice: User, client: Client) -> None:
    """SEC-1: a session left open takes nothing out and ends nothing; nor does a stranger."""
    for address in (EXPORT, DELETE):
        assert Client().get(address).headers["Location"].startswith(reverse("account_login"))
    client.post(reverse("account_login"), {"login": alice.email, "password": CAST_PASSWORD})
    for address in (EXPORT, DELETE):
        assert client.get(address).headers["Location"].startswith(reverse("account_reauthenticate"))
    asked = client.post(DELETE, {"confirm": alice.email})
    assert asked.headers["Location"].startswith(reverse("account_reauthenticate"))
    assert User.objects.get(pk=alice.pk).is_active


def test_refused_while_an_account_is_attached_or_the_address_is_not_typed(
    alice: User, full: Portfolio, inside: Client
) -> None:
    """SEC-1: nobody would look after real money; nothing was stopped by the attempt."""
    LiveAccount.objects.filter(portfolio=full).update(state="shadow")
    page = inside.get(DELETE).content.decode()
    assert "is connected to an account" in page
    assert "Delete the account</button>" not in page
    assert "is connected to an account" in inside.post(DELETE, {"confirm": alice.email}).content.decode()
    LiveAccount.objects.filter(portfolio=full).update(state="stopped")
    Portfolio.objects.filter(pk=full.pk).update(mode="live")
    assert "open positions at a real venue" in inside.post(DELETE, {"confirm": alice.email}).content.decode()
    Portfolio.objects.filter(pk=full.pk).update(mode="paper")
    wrong = inside.post(DELETE, {"confirm": "bob@example.com"})
    assert (wrong.status_code, "Type alice@example.com to confirm." in wrong.content.decode()) == (400, True)
    alice.refresh_from_db()
    assert (alice.is_active, alice.deleted_at) == (True, None)
    assert not Command.objects.filter(kind="emergency_stop", portfolio=full).exists()
    assert Follow.objects.get(portfolio=full).status == "active"


def test_the_last_administrator_stays(alice: User, inside: Client) -> None:
    """SEC-1: somebody has to give roles."""
    User.objects.filter(pk=alice.pk).update(role="admin", is_staff=True, is_superuser=True)
    assert "last administrator" in inside.post(DELETE, {"confirm": alice.email}).content.decode()
    assert User.objects.get(pk=alice.pk).is_active


def test_an_account_is_deleted_and_the_books_stay(
    alice: User, bob: User, full: Portfolio, inside: Client
) -> None:
    """SEC-1, SEC-2: no name, no way in, nothing running; orders and the audit log stay, under a number."""
    LiveAccount.objects.filter(portfolio=full).update(state="stopped")
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    TOTP.activate(alice, generate_totp_secret())
    AuthToken.objects.create(user=alice)
    orders, entries = Order.objects.filter(portfolio=full).count(), AuditEntry.objects.count()
    untouched = portfolio_make(owner=bob)
    answer = inside.post(DELETE, {"confirm": "Alice@example.com "})
    assert answer.headers["Location"] == reverse("account_login")
    alice.refresh_from_db()
    assert (alice.email, alice.is_active) == (f"person-{alice.pk}@deleted.invalid", False)
    assert not alice.has_usable_password()
    assert alice.deleted_at is not None
    for model in (Authenticator, EmailAddress, UserSession, KnownDevice, AuthToken):
        assert not model._default_manager.filter(user=alice).exists(), model
    for model in (Alert, AlertChannel):
        assert not model._default_manager.filter(owner=alice).exists(), model
    assert not Credential.objects.filter(owner=alice, revoked_at__isnull=True).exists()
    full.refresh_from_db()
    assert (full.name, full.status) == (f"Portfolio {full.pk}", "halted")
    assert "alice" not in full.status_reason
    assert Follow.objects.get(portfolio=full).status == "leaving"  # the next cycle removes it
    assert Command.objects.get(kind="emergency_stop", portfolio=full).asked_by is None
    assert Decision.objects.filter(reason=f"Asked by person {alice.pk}").count() >= 1
    assert Order.objects.filter(portfolio=full).count() == orders
    assert AuditEntry.objects.count() > entries
    names = AuditEntry.objects.filter(actor_id=alice.pk).values_list("actor_name", flat=True)
    assert set(names) == {f"person {alice.pk}"}
    assert not AuditEntry.objects.filter(text__contains="alice@example.com").exists()
    assert AuditEntry.objects.filter(action="account.delete", actor_id=alice.pk).count() == 1
    assert inside.get("/account/").status_code == 302
    page = inside.post(reverse("account_login"), {"login": "alice@example.com", "password": CAST_PASSWORD})
    assert page.status_code == 200
    untouched.refresh_from_db()
    assert (untouched.name, untouched.status) == ("Four models", "active")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET text = 'it was not me'",
        "UPDATE accounts_auditentry SET actor_name = 'somebody else'",
        "UPDATE accounts_auditentry SET action = 'nothing', actor_name = 'person {id}'",
        "UPDATE accounts_auditentry SET at = now()",
        "DELETE FROM accounts_auditentry",
    ],
)
def test_forgetting_opens_the_audit_log_for_nothing_else(
    alice: User, full: Portfolio, statement: str
) -> None:
    """SEC-2: whoever says that a person is forgotten still changes nothing but that name."""
    before = list(AuditEntry.objects.values())
    for marked in (False, True):
        with pytest.raises(IntegrityError, match="the audit log is append-only"):
            _forgetting(alice, statement, marked=marked)
    assert list(AuditEntry.objects.values()) == before


@transaction.atomic
def _forgetting(person: User, statement: str, *, marked: bool) -> None:
    """Run a statement as forgetting would, for a person who is marked as deleted or is not."""
    with connection.cursor() as cursor:
        if marked:
            cursor.execute("UPDATE accounts_user SET deleted_at = now() WHERE id = %s", [person.pk])
        cursor.execute("SELECT set_config('ensemble.forgets', %s, true)", [str(person.pk)])
        cursor.execute(statement.format(id=person.pk))


def test_second_factors_are_sealed_anew(alice: User, settings: Any) -> None:
    """SEC-1: after rotation the old key can be dropped and the app's codes still count."""
    old, new, secret = Fernet.generate_key().decode(), Fernet.generate_key().decode(), generate_totp_secret()
    settings.CREDENTIAL_KEYS = [old]
    TOTP.activate(alice, secret)
    settings.CREDENTIAL_KEYS = [new, old]

    def said(what: str) -> str:
        out = io.StringIO()
        call_command("credential_keys", what, stdout=out)
        return next(line for line in out.getvalue().splitlines() if line.startswith("Second factors"))

    assert said("check") == (
        "Second factors: 1 open with an older key: run rotate, 0 open with the newest key, 0 with none"
    )
    assert said("rotate") == "Second factors: 1 sealed anew, 0 open with the newest key, 0 with none"
    settings.CREDENTIAL_KEYS = [new]
    assert text_open(sealed=Authenticator.objects.get().data["secret"]) == secret
