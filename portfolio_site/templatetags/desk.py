"""Template tag of the admin's first page."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from accounts.roles import OPERATOR_SEES_HEALTH, role_allows
from core.clock import utc_now
from portfolio_site.desk import Line, Section, health_read

register = template.Library()


@register.simple_tag(takes_context=True)
def platform_health(context: dict[str, Any]) -> tuple[Section, ...]:
    """Return the health of the platform for somebody who may see it, nothing for anybody else."""
    user = context["request"].user
    return health_read(now=utc_now()) if role_allows(user=user, may=OPERATOR_SEES_HEALTH) else ()


@register.simple_tag(takes_context=True)
def line_address(context: dict[str, Any], line: Line) -> str:
    """Return where the admin shows more about a line, empty where this person may not look."""
    app, _, model = line.table.partition("_")
    if not line.table or not context["request"].user.has_perm(f"{app}.view_{model}"):
        return ""
    try:
        address = reverse(f"admin:{line.table}_changelist")
    except NoReverseMatch:
        return ""
    return f"{address}?{line.query}" if line.query else address
