"""Taking a person out of their account: what names or admits them goes, the number stays for the books.

Kept are portfolios, orders, fills, ledger, decisions and the audit log, because books that lose rows prove
nothing any more; each speaks of "person 12" from then on. What else ends with an account, such as follows and
agents, is ``engine.people``'s.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import connection, transaction
from django.db.models import CharField, F, Model, TextField, Value
from django.db.models.functions import Left, Replace

from accounts.audit import audit_write
from accounts.models import AuditEntry, KnownDevice, Portfolio, User
from accounts.services import api_tokens_revoke
from accounts.signals import person_forgotten

NOWHERE: Final = "deleted.invalid"


def person_name(*, user_id: int) -> str:
    """Return what a person is called once the account is deleted."""
    return f"person {user_id}"


def person_forget(*, user: User, via: str, now: datetime) -> None:
    """Make an account nobody's: no name, no address, no way in. It cannot be taken back.

    Everything happens in one transaction, or nothing.
    """
    with transaction.atomic():
        person = User.objects.select_for_update(of=("self",), no_key=True).get(pk=user.pk)
        email, name = person.email, person_name(user_id=person.pk)
        audit_write(action="account.delete", outcome="done", via=via, actor=person, now=now)
        User.objects.filter(pk=person.pk).update(deleted_at=now)
        _audit_forget(user_id=person.pk, email=email, name=name)
        person_forgotten.send(sender=User, user=person)
        for session in UserSession.objects.filter(user=person):
            session.end()
        api_tokens_revoke(user=person)
        for model in (Authenticator, EmailAddress, KnownDevice):
            model._default_manager.filter(user_id=person.pk).delete()
        for portfolio in Portfolio.objects.filter(owner=person).order_by("pk"):
            Portfolio.objects.filter(pk=portfolio.pk).update(name=f"Portfolio {portfolio.pk}")
        person.email, person.first_name, person.last_name = f"person-{person.pk}@{NOWHERE}", "", ""
        person.is_active, person.role = False, User.Role.USER
        person.language, person.time_zone, person.deleted_at = "", "", now
        person.set_unusable_password()
        person.save()


def words_forget(*, model: type[Model], portfolio_ids: list[int], path: str, email: str, name: str) -> None:
    """Replace an address by a name in every text of a table's rows that belong to these portfolios.

    :param path: the field of the table that names the portfolio
    """
    for field in model._meta.concrete_fields:
        if not isinstance(field, CharField | TextField) or field.choices:
            continue
        anew = Replace(F(field.name), Value(email), Value(name))
        rows = model._default_manager.filter(
            **{f"{path}__in": portfolio_ids, f"{field.name}__contains": email}
        )
        rows.update(**{field.name: Left(anew, field.max_length) if field.max_length else anew})


def _audit_forget(*, user_id: int, email: str, name: str) -> None:
    """Put the number in the place of the name; the database compares each row with exactly that."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('ensemble.forgets', %s, true)", [str(user_id)])
        cursor.execute(
            f"UPDATE {AuditEntry._meta.db_table} SET "  # noqa: S608 - our own table's name
            "actor_name = CASE WHEN actor_name = %(email)s THEN %(name)s ELSE actor_name END, "
            "text = left(replace(text, %(email)s, %(name)s), 300), "
            "data = replace(data::text, %(email)s, %(name)s)::jsonb "
            "WHERE actor_id = %(id)s OR strpos(text, %(email)s) > 0 OR strpos(data::text, %(email)s) > 0",
            {"email": email, "name": name, "id": user_id},
        )
        cursor.execute("SELECT set_config('ensemble.forgets', '', true)")
