"""Settings of a portfolio: trading, limits, conflict rules of single instruments, the block list."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import POLICY_CHOICES, PROFILE_CHOICES, RULE_CHOICES, Portfolio
from allocation.domain.own_limits import FIELDS
from allocation.models import BlockedUnderlying
from allocation.own_limits import limits_values, limits_warnings
from api.asking import command_ask
from api.base import NOT_KEPT, ApiView
from api.fields import Shape, flag, number, one_of, words
from api.serializers import StrictSerializer
from api.trading_serializers import CommandAnswer
from core.clock import utc_now
from core.decimals import plain
from engine.models import Command
from engine.portfolios import (
    conflict_rule_set,
    conflict_rule_unset,
    portfolio_settings_save,
    underlying_allow,
    underlying_block,
)
from positions.models import ConflictOverride


class SettingsChange(StrictSerializer):
    """What is to be otherwise; the rest stays. Modes, limits and exits are changed by commands."""

    name = serializers.CharField(max_length=80, required=False)
    policy = serializers.ChoiceField(choices=POLICY_CHOICES, required=False)
    conflict_rule = serializers.ChoiceField(choices=RULE_CHOICES, required=False)
    auto_rebalance = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Require at least one of them."""
        if not attrs:
            raise serializers.ValidationError(f"Name what to change: {', '.join(self.fields)}.")
        return attrs


class SettingsAnswer(Shape):
    """The settings of a portfolio. ``conflict_rules`` are those of single instruments."""

    name = words()
    policy = one_of(POLICY_CHOICES)
    risk_profile = one_of(PROFILE_CHOICES)
    conflict_rule = one_of(RULE_CHOICES)
    auto_rebalance = flag()
    weighting = one_of(Portfolio.Weighting.choices)
    trading_mode = one_of(Portfolio.TradingMode.choices)
    dry_run = flag()
    approves_conflicts = flag()
    conflict_rules = serializers.DictField(child=one_of(RULE_CHOICES), help_text="By instrument.")
    blocked = serializers.ListField(child=words(), help_text="Instruments that are never opened.")


class RuleWanted(StrictSerializer):
    """The rule for one instrument."""

    rule = serializers.ChoiceField(choices=RULE_CHOICES)


class LimitsChange(StrictSerializer):
    """A profile and / or numbers: parts of equity as fractions of 1 in text, counts as whole numbers."""

    profile = serializers.ChoiceField(choices=PROFILE_CHOICES, required=False)
    max_position = serializers.JSONField(required=False)
    max_asset_weight = serializers.JSONField(required=False)
    max_positions = serializers.JSONField(required=False)
    max_correlated = serializers.JSONField(required=False)
    max_gross = serializers.JSONField(required=False)
    max_open_orders = serializers.JSONField(required=False)
    daily_loss = serializers.JSONField(required=False)
    drawdown = serializers.JSONField(required=False)
    losses_in_a_row = serializers.JSONField(required=False)
    emergency_loss = serializers.JSONField(required=False)
    copy_stop = serializers.JSONField(required=False)


class LimitsNow(Shape):
    """The numbers that count now: fractions of 1, and counts."""

    max_position = number()
    max_asset_weight = number()
    max_positions = number()
    max_correlated = number()
    max_gross = number()
    max_open_orders = number()
    daily_loss = number()
    drawdown = number()
    losses_in_a_row = number()
    emergency_loss = number()
    copy_stop = number()


class LimitsAnswer(Shape):
    """The limits and the thresholds of the breakers, and what is risky about them."""

    profile = one_of(PROFILE_CHOICES)
    values = LimitsNow()
    warnings = serializers.ListField(child=words())


class SettingsView(ApiView):
    """GET the settings; PATCH {name?, policy?, conflict_rule?, auto_rebalance?} changes them."""

    tag = "Settings"

    @extend_schema(responses={200: SettingsAnswer})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Read the settings, with the rules of single instruments and the block list."""
        return Response(_settings(self.portfolio()), headers=NOT_KEPT)

    @extend_schema(request=SettingsChange, responses={200: SettingsAnswer})
    def patch(self, request: Request, portfolio_id: int) -> Response:
        """Change settings. All that is named or nothing; every target is placed anew."""
        portfolio, wanted = self.portfolio(), self.cleaned(SettingsChange, request.data)
        portfolio_settings_save(portfolio=portfolio, now=utc_now(), **wanted)
        return Response(_settings(portfolio), headers=NOT_KEPT)


class ConflictRuleView(ApiView):
    """PUT {rule} gives one instrument a conflict rule of its own; DELETE takes it back."""

    tag = "Settings"

    @extend_schema(request=RuleWanted, responses={200: SettingsAnswer})
    def put(self, request: Request, portfolio_id: int, underlying: str) -> Response:
        """Give one instrument a conflict rule of its own."""
        portfolio, wanted = self.portfolio(), self.cleaned(RuleWanted, request.data)
        conflict_rule_set(portfolio=portfolio, underlying=underlying, rule=wanted["rule"], now=utc_now())
        return Response(_settings(portfolio), headers=NOT_KEPT)

    @extend_schema(responses={200: SettingsAnswer})
    def delete(self, request: Request, portfolio_id: int, underlying: str) -> Response:
        """Let one instrument follow the portfolio's rule again. Harmless when it does already."""
        portfolio = self.portfolio()
        conflict_rule_unset(portfolio=portfolio, underlying=underlying, now=utc_now())
        return Response(_settings(portfolio), headers=NOT_KEPT)


class BlockedView(ApiView):
    """PUT never opens an instrument again; DELETE allows it."""

    tag = "Settings"

    @extend_schema(request=None, responses={200: SettingsAnswer})
    def put(self, request: Request, portfolio_id: int, underlying: str) -> Response:
        """Block an instrument. What is open in it may still be closed."""
        portfolio = self.portfolio()
        underlying_block(portfolio=portfolio, underlying=underlying, now=utc_now())
        return Response(_settings(portfolio), headers=NOT_KEPT)

    @extend_schema(responses={200: SettingsAnswer})
    def delete(self, request: Request, portfolio_id: int, underlying: str) -> Response:
        """Allow an instrument again. Harmless when it is allowed already."""
        portfolio = self.portfolio()
        underlying_allow(portfolio=portfolio, underlying=underlying, now=utc_now())
        return Response(_settings(portfolio), headers=NOT_KEPT)


class LimitsView(ApiView):
    """GET limits and breakers' thresholds; PATCH {profile?, max_position?, …} asks for others."""

    tag = "Risk"
    keyed = True

    @extend_schema(responses={200: LimitsAnswer})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Read the limits and the thresholds of the breakers."""
        portfolio = self.portfolio()
        values = limits_values(portfolio=portfolio)
        shown = {
            name: str(value) if FIELDS[name].counts else plain(value)  # type: ignore[arg-type]
            for name, value in values.items()
        }
        answer = {
            "profile": portfolio.risk_profile,
            "values": shown,
            "warnings": limits_warnings(values),
        }
        return Response(answer, headers=NOT_KEPT)

    @extend_schema(request=LimitsChange, responses={202: CommandAnswer})
    def patch(self, request: Request, portfolio_id: int) -> Response:
        """Ask for other limits. A limit of your own makes the profile `own`; the answer is the command."""
        portfolio, data = self.portfolio(), self.cleaned(LimitsChange, request.data)
        return command_ask(self, portfolio=portfolio, kind=Command.Kind.LIMITS.value, data=data)


def _settings(portfolio: Portfolio) -> dict[str, Any]:
    overrides = ConflictOverride.objects.filter(portfolio=portfolio)
    blocked = BlockedUnderlying.objects.filter(portfolio=portfolio).order_by("underlying")
    return {
        "name": portfolio.name,
        "policy": portfolio.policy,
        "risk_profile": portfolio.risk_profile,
        "conflict_rule": portfolio.conflict_rule,
        "auto_rebalance": portfolio.auto_rebalance,
        "weighting": portfolio.weighting,
        "trading_mode": portfolio.trading_mode,
        "dry_run": portfolio.dry_run,
        "approves_conflicts": portfolio.approves_conflicts,
        "conflict_rules": {row.underlying: row.rule for row in overrides},
        "blocked": list(blocked.values_list("underlying", flat=True)),
    }
