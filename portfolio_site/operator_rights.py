"""What an operator may look at in the admin: the platform's tables, nobody's portfolio, alerts or keys."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.backends import BaseBackend

from accounts.roles import OPERATOR_SEES_HEALTH, role_allows

OPERATOR_VIEWS: Final = frozenset(
    {
        "traders.view_trader",
        "traders.view_syncattempt",
        "markets.view_world",
        "markets.view_instrument",
        "markets.view_venueinstrument",
        "markets.view_mark",
        "engine.view_exitshard",
        "engine.view_exitwatcher",
        "engine.view_exitgap",
        "alerts.view_taskfailure",
    }
)


class OperatorRights(BaseBackend):
    """Answers only what the role allows; signs nobody in."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Tell whether an operator may look at a table."""
        return perm in OPERATOR_VIEWS and role_allows(user=user_obj, may=OPERATOR_SEES_HEALTH)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Tell whether an operator may look at any table of an app."""
        mine = any(perm.startswith(f"{app_label}.") for perm in OPERATOR_VIEWS)
        return mine and role_allows(user=user_obj, may=OPERATOR_SEES_HEALTH)
