"""SEC-2: the audit log is append-only in the database itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from accounts.audit import audit_write
from accounts.models import AuditEntry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REFUSED = (
    "UPDATE accounts_auditentry SET text = 'it was not me'",
    "UPDATE accounts_auditentry SET text = '' WHERE id = -1",
    "DELETE FROM accounts_auditentry",
    "TRUNCATE accounts_auditentry",
    "TRUNCATE accounts_auditentry, accounts_user CASCADE",
    "INSERT INTO accounts_auditentry TABLE accounts_auditentry ON CONFLICT (id) DO UPDATE SET text = ''",
)


def entry(actor: Any) -> AuditEntry:
    return audit_write(
        action="portfolio.mode",
        outcome="done",
        via="page",
        actor=actor,
        text="single",
        data={"n": "1"},
        now=NOW,
    )


def test_an_entry_says_who_what_and_when(alice: Any) -> None:
    """SEC-2: the name is kept beside the number, for the day the person is gone."""
    mine, own = entry(alice), entry("day roll")
    assert (mine.actor_id, mine.actor_name, mine.at) == (alice.pk, "alice@example.com", NOW)
    assert (own.actor_id, own.actor_name) == (None, "day roll")
    assert (mine.action, mine.outcome, mine.via, mine.text) == ("portfolio.mode", "done", "page", "single")
    assert mine.data == {"n": "1"}


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_refuses_to_change_it(alice: Any, statement: str) -> None:
    """SEC-2: no statement changes, deletes or empties it, whether it would touch a row or not."""
    entry(alice)
    with (
        pytest.raises(IntegrityError, match="the audit log is append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert AuditEntry.objects.get().text == "single"


@pytest.mark.django_db(transaction=True)
def test_a_plain_connection_and_a_replica_session_are_refused_too() -> None:
    """SEC-2: for every role: the owner of the tables, past Django, with ordinary triggers silenced."""
    entry("plain connection")
    database = settings.DATABASES["default"]
    where = {"host": database["HOST"], "user": database["USER"], "dbname": database["NAME"]}
    for silenced in (False, True):
        for statement in REFUSED:
            with psycopg.connect(**where) as plain:
                if silenced:
                    plain.execute("SET session_replication_role = replica")
                with pytest.raises(psycopg.errors.RestrictViolation):
                    plain.execute(statement)
                plain.rollback()
    assert AuditEntry.objects.get().text == "single"


def test_the_model_refuses_as_well(alice: Any) -> None:
    """SEC-2: what Django would do by itself meets the same refusal."""
    kept = entry(alice)
    kept.text = "changed"
    with pytest.raises(IntegrityError), transaction.atomic():
        kept.save()
    with pytest.raises(IntegrityError), transaction.atomic():
        kept.delete()
    assert AuditEntry.objects.get().text == "single"
