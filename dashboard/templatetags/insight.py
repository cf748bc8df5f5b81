"""Template helpers of the traders' pages: words for changes and decisions, exact amounts, similarities."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from django import template
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from core.decimals import plain
from dashboard.templatetags.ensemble import MINUS, UNKNOWN, icon
from engine.domain.plan_types import DecisionKind
from engine.domain.trader_changes import Change

register = template.Library()

_CHANGES: Final[Mapping[str, Promise]] = {
    Change.OPENED: _("Opened"),
    Change.ADDED: _("Added to"),
    Change.REDUCED: _("Reduced"),
    Change.CLOSED: _("Closed"),
    Change.FLIPPED: _("Flipped"),
    Change.REOPENED: _("Closed and opened again"),
    Change.REARRANGED: _("Moved between instruments of"),
}
_DECISIONS: Final[Mapping[str, tuple[str, Promise]]] = {
    DecisionKind.COPIED: ("circle-check", _("Copied")),
    DecisionKind.MERGED: ("git-merge", _("Merged")),
    DecisionKind.CAPPED: ("gauge", _("Capped")),
    DecisionKind.DELAYED: ("hourglass", _("Delayed")),
    DecisionKind.REFUSED: ("ban", _("Refused")),
    DecisionKind.HELD: ("circle-minus", _("Left alone")),
}


@register.simple_tag
def change_word(change: str) -> str:
    """What a trader did, in a word or two before the underlying."""
    return str(_CHANGES.get(change, change))


@register.simple_tag
def decision_word(kind: str) -> SafeString:
    """What became of a trader's change, as a chip; other kinds of decision by their own name."""
    name, word = _DECISIONS.get(kind, ("info", kind.replace("_", " ").capitalize()))
    return format_html('<span class="chip">{}{}</span>', icon(name), word)


@register.filter
def exact(value: Decimal | None) -> str:
    """An amount with every digit it has."""
    return UNKNOWN if value is None else plain(value).replace("-", MINUS)


@register.filter
def tenth(value: float | None) -> str:
    """A statistic with one decimal."""
    return UNKNOWN if value is None else f"{value:.1f}".replace("-", MINUS)


@register.filter
def hundredth(value: float | None) -> str:
    """A statistic with two decimals."""
    return UNKNOWN if value is None else f"{value:.2f}".replace("-", MINUS)
