"""What each role may do, in one place, and the one way to give a role.

A role widens what somebody may see and do about the *platform*. It never opens another person's portfolio:
portfolios are fetched through their owner alone (``accounts.selectors``).

    user      their own portfolios
    operator  also: enters the admin, sees the health of the platform, pauses and resumes sources
    admin     everything an operator may; also: people, roles, all tables, emergency stop for others

``User.is_staff`` and ``User.is_superuser`` follow the role (``User.save``), and the database refuses a row in
which they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from accounts.audit import audit_write
from accounts.models import User
from core.errors import InputError

ENTERS_ADMIN: Final = "enters_admin"
OPERATOR_SEES_HEALTH: Final = "operator_sees_health"
OPERATOR_PAUSES_SOURCES: Final = "operator_pauses_sources"
ADMIN_SEES_ALL_TABLES: Final = "admin_sees_all_tables"
ADMIN_EDITS_PEOPLE: Final = "admin_edits_people"
ADMIN_SETS_ROLES: Final = "admin_sets_roles"
ADMIN_STOPS_PORTFOLIOS: Final = "admin_stops_portfolios"

_OPERATOR: Final = frozenset({ENTERS_ADMIN, OPERATOR_SEES_HEALTH, OPERATOR_PAUSES_SOURCES})
_ADMIN: Final = _OPERATOR | {
    ADMIN_SEES_ALL_TABLES,
    ADMIN_EDITS_PEOPLE,
    ADMIN_SETS_ROLES,
    ADMIN_STOPS_PORTFOLIOS,
}
PERMISSIONS_OF: Final[Mapping[str, frozenset[str]]] = {
    User.Role.USER.value: frozenset(),
    User.Role.OPERATOR.value: _OPERATOR,
    User.Role.ADMIN.value: _ADMIN,
}


def role_allows(*, user: AbstractBaseUser | AnonymousUser, may: str) -> bool:
    """Tell whether a person's role allows something; never for one who is not signed in or not active.

    :param may: one of the permissions named in this module
    :raises ValueError: there is no such permission; a misspelt one must not pass for "no"
    """
    if may not in _ADMIN:
        msg = f"no role knows the permission {may!r}"
        raise ValueError(msg)
    if not isinstance(user, User) or not user.is_active:
        return False
    return may in PERMISSIONS_OF[user.role]


def role_set(*, user: User, role: str, by: User | str, via: str, now: datetime) -> bool:
    """Give a person a role and say so in the audit log; return whether that changed anything.

    Sessions, tokens and portfolios of the person stay as they are.

    :param by: the administrator who asks, or the name of the part of the system
    :raises InputError: there is no such role, who asks may not set roles, or nobody would be left who may
    """
    if role not in PERMISSIONS_OF:
        raise InputError(f"“{role}” is no role; choose {', '.join(PERMISSIONS_OF)}.", field="role")
    if isinstance(by, User) and not role_allows(user=by, may=ADMIN_SETS_ROLES):
        raise InputError("Only an administrator sets roles.", field="role")
    with transaction.atomic():
        # All administrators are locked, in one order: two who demote each other at once must not both pass.
        admins = list(
            User.objects.select_for_update(of=("self",), no_key=True)
            .filter(role=User.Role.ADMIN, is_active=True)
            .order_by("pk")
        )
        person = User.objects.select_for_update(of=("self",), no_key=True).get(pk=user.pk)
        if person.role == role:
            return False
        if role != User.Role.ADMIN and [admin.pk for admin in admins] == [person.pk]:
            raise InputError(
                f"{person.email} is the last administrator; make somebody else one first.", field="role"
            )
        before, person.role = person.role, role
        person.save(update_fields=["role"])
        audit_write(
            action="role.set",
            outcome="done",
            via=via,
            actor=by,
            text=f"{person.email} is {role} now, was {before}",
            data={"user": person.pk, "before": before, "after": role},
            now=now,
        )
    user.refresh_from_db(fields=["role", "is_staff", "is_superuser"])
    return True
