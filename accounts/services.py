"""Creating and changing portfolios; what that means for targets and cycles is up to ``engine.portfolios``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db import IntegrityError, transaction
from knox.models import AuthToken

from accounts.models import POLICY_CHOICES, PROFILE_CHOICES, RULE_CHOICES, Portfolio, User
from core.errors import InputError
from core.types import ConflictRule, Policy

MAX_PORTFOLIOS: Final = 20
NAME_LENGTH: Final = 80
_UNIQUE_NAME: Final = "portfolio_name_unique_per_owner"
_CHOICES: Final[Mapping[str, tuple[str, list[tuple[str, str]]]]] = {
    "policy": ("policy", POLICY_CHOICES),
    "risk_profile": ("risk profile", PROFILE_CHOICES),
    "conflict_rule": ("conflict rule", RULE_CHOICES),
    "trading_mode": ("trading mode", Portfolio.TradingMode.choices),
}
_FLAGS: Final = {
    "auto_rebalance": "Auto-rebalance",
    "approves_conflicts": "Approval of conflicts",
    "dry_run": "Dry run",
}
_EDITABLE: Final = frozenset({"name", *_FLAGS, *_CHOICES})


def portfolio_create(
    *,
    owner: User,
    name: str,
    policy: str = Policy.SPOT,
    risk_profile: str = "conservative",
    conflict_rule: str = ConflictRule.COMBINE,
    auto_rebalance: bool = False,
    dry_run: bool = False,
) -> Portfolio:
    """Create a paper portfolio without cash and without a world; its first follow fixes the world.

    :raises InputError: a name that is empty, too long or used already; an unknown policy, risk
        profile or conflict rule; more than ``MAX_PORTFOLIOS`` portfolios
    """
    wanted = _checked(
        {
            "name": name,
            "policy": policy,
            "risk_profile": risk_profile,
            "conflict_rule": conflict_rule,
            "auto_rebalance": auto_rebalance,
            "dry_run": dry_run,
        }
    )
    with transaction.atomic():
        User.objects.select_for_update(of=("self",), no_key=True).get(pk=owner.pk)
        if Portfolio.objects.filter(owner=owner).count() >= MAX_PORTFOLIOS:
            raise InputError(f"You have {MAX_PORTFOLIOS} portfolios already, the most one person can hold.")
        return _saved(Portfolio(owner=owner, **wanted))


def portfolio_update(*, portfolio: Portfolio, **fields: Any) -> list[str]:
    """Change a portfolio's name, one of its choices or one of its switches; return what really changed.

    Whether the policy may change now is the caller's to check (``engine.portfolios``): what is open
    cannot be seen from here. World, mode and owner never change through this function.

    :raises InputError: a field that is unknown or fixed, or a value as in ``portfolio_create``
    """
    refused = sorted(set(fields) - _EDITABLE)
    if refused:
        raise InputError(f"“{refused[0]}” cannot be changed.", field=refused[0])
    changed = {name: value for name, value in _checked(fields).items() if getattr(portfolio, name) != value}
    if changed:
        before = {name: getattr(portfolio, name) for name in changed}
        try:
            _saved(_with(portfolio, changed), only=changed)
        except InputError:
            _with(portfolio, before)
            raise
    return list(changed)


def api_tokens_revoke(*, user: User) -> int:
    """End every API token of a person, as after a change of password; return how many there were."""
    deleted, _ = AuthToken.objects.filter(user=user).delete()
    return int(deleted)


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields cleaned, or raise InputError naming the first one at fault."""
    clean = dict(fields)
    if "name" in clean:
        clean["name"] = _checked_name(clean["name"])
    for field, (label, choices) in _CHOICES.items():
        if field in clean:
            allowed = [value for value, _ in choices]
            if clean[field] not in allowed:
                raise InputError(f"“{clean[field]}” is no {label}; choose {_either(allowed)}.", field=field)
            clean[field] = str(clean[field])
    for field, label in _FLAGS.items():
        if field in clean and not isinstance(clean[field], bool):
            raise InputError(f"{label} is either on or off.", field=field)
    return clean


def _checked_name(name: object) -> str:
    text = " ".join(str(name).split()) if isinstance(name, str) else ""
    if not text:
        raise InputError("Give the portfolio a name.", field="name")
    if len(text) > NAME_LENGTH:
        raise InputError(
            f"A name has at most {NAME_LENGTH} characters, this one has {len(text)}.", field="name"
        )
    if not text.isprintable():
        raise InputError("A name cannot contain control characters.", field="name")
    return text


def _saved(portfolio: Portfolio, *, only: Iterable[str] | None = None) -> Portfolio:
    """Save, and turn the database's refusal of a second portfolio of that name into a sentence."""
    try:
        with transaction.atomic():
            portfolio.save(update_fields=only)
    except IntegrityError as error:
        if _UNIQUE_NAME not in str(error):
            raise
        raise InputError(f"You have a portfolio called “{portfolio.name}” already.", field="name") from None
    return portfolio


def _with(portfolio: Portfolio, values: Mapping[str, Any]) -> Portfolio:
    for name, value in values.items():
        setattr(portfolio, name, value)
    return portfolio


def _either(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
