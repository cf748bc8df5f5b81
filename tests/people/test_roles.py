"""SEC-1: roles user, operator and admin: what each may do, who gives them, and that Django's flags follow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from accounts import roles
from accounts.models import AuditEntry, User
from accounts.roles import role_allows, role_set
from core.errors import InputError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OPERATORS = {roles.ENTERS_ADMIN, roles.OPERATOR_SEES_HEALTH, roles.OPERATOR_PAUSES_SOURCES}
ADMINS = OPERATORS | {
    roles.ADMIN_SEES_ALL_TABLES,
    roles.ADMIN_EDITS_PEOPLE,
    roles.ADMIN_SETS_ROLES,
    roles.ADMIN_STOPS_PORTFOLIOS,
}


def person(role: str = "user", **fields: object) -> User:
    return User.objects.create_user(f"{role}@example.com", "a long enough password", role=role, **fields)


def allowed(user: User | AnonymousUser) -> set[str]:
    return {may for may in ADMINS if role_allows(user=user, may=may)}


@pytest.mark.django_db
def test_what_each_role_may_do() -> None:
    """A role may exactly this; one who is not active or not signed in may nothing."""
    assert allowed(person("user")) == set()
    assert allowed(person("operator")) == OPERATORS
    assert allowed(person("admin")) == ADMINS
    assert allowed(AnonymousUser()) == set()
    gone = User(email="gone@example.com", role="admin", is_active=False)
    assert allowed(gone) == set()


def test_a_misspelt_permission_is_an_error_and_no_silent_no() -> None:
    """A page that asks for what does not exist must not simply be closed."""
    with pytest.raises(ValueError, match="no role knows the permission 'operator_see_health'"):
        role_allows(user=AnonymousUser(), may="operator_see_health")


def test_flags_follow_the_role_in_the_database_too(alice: User) -> None:
    """Whatever way a role is saved, the flags are the role's, and a row in which they differ is refused."""
    for role, flags in (("operator", (True, False)), ("admin", (True, True)), ("user", (False, False))):
        alice.role = role
        alice.save(update_fields=["role"])
        alice.refresh_from_db()
        assert (alice.is_staff, alice.is_superuser) == flags
    with pytest.raises(IntegrityError, match="user_flags_follow_role"), transaction.atomic():
        User.objects.filter(pk=alice.pk).update(is_superuser=True)


def test_an_administrator_gives_a_role_and_the_audit_log_has_it(alice: User) -> None:
    """A change is told with who, from what and to what; the same role again is no change."""
    root = person("admin")
    assert role_set(user=alice, role="operator", by=root, via="admin", now=NOW)
    assert (alice.role, alice.is_staff) == ("operator", True)
    assert not role_set(user=alice, role="operator", by=root, via="admin", now=NOW)
    entry = AuditEntry.objects.get(action="role.set")
    assert (entry.actor_name, entry.via, entry.at) == ("admin@example.com", "admin", NOW)
    assert entry.text == "alice@example.com is operator now, was user"
    assert entry.data == {"user": alice.pk, "before": "user", "after": "operator"}


def test_nobody_else_gives_roles_and_the_last_administrator_stays(alice: User) -> None:
    """Refused: a user or operator who asks, a role there is none of, and the last administrator's end."""
    operator, root = person("operator"), person("admin")
    for by in (alice, operator):
        with pytest.raises(InputError, match="Only an administrator sets roles"):
            role_set(user=alice, role="admin", by=by, via="page", now=NOW)
    with pytest.raises(InputError, match="“king” is no role"):
        role_set(user=alice, role="king", by=root, via="admin", now=NOW)
    with pytest.raises(InputError, match=r"admin@example\.com is the last administrator"):
        role_set(user=root, role="user", by=root, via="admin", now=NOW)
    assert list(User.objects.order_by("pk").values_list("role", flat=True)) == ["user", "operator", "admin"]
    assert not AuditEntry.objects.exists()


def test_in_the_admin(alice: User, client_of: Callable[[User], Client]) -> None:
    """The admin's form gives roles through the same door; a session of the person goes on."""
    root, theirs = person("admin"), client_of(alice)
    form = {"email": alice.email, "role": "operator", "is_active": "on", "language": "", "time_zone": ""}
    page = reverse("admin:accounts_user_change", args=[alice.pk])
    assert client_of(root).post(page, form).status_code == 302
    alice.refresh_from_db()
    assert (alice.role, alice.is_staff, alice.is_superuser) == ("operator", True, False)
    assert AuditEntry.objects.get(action="role.set").actor_name == "admin@example.com"
    assert theirs.get("/", follow=True).context["user"] == alice
    own = reverse("admin:accounts_user_change", args=[root.pk])
    for change in ({"role": "user", "is_active": "on"}, {"role": "admin"}):
        answer = client_of(root).post(own, {"email": root.email, **change})
        assert "This is the last administrator" in answer.content.decode()
    root.refresh_from_db()
    assert (root.role, root.is_active) == ("admin", True)


def test_an_operator_sets_no_roles(alice: User, client_of: Callable[[User], Client]) -> None:
    """The page of people is an administrator's."""
    page = reverse("admin:accounts_user_change", args=[alice.pk])
    assert client_of(person("operator")).post(page, {"role": "admin"}).status_code == 403
    alice.refresh_from_db()
    assert alice.role == "user"
