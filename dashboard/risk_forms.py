"""Forms of what bounds a portfolio: its limits and breakers, and how its capital is split."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from django import forms

from accounts.models import OWN_PROFILE, PROFILE_CHOICES, Portfolio
from allocation.domain.own_limits import FIELDS, LIMIT_FIELDS
from allocation.follows import follows_current
from allocation.models import Follow
from allocation.own_limits import limits_complete, limits_values, limits_warnings, profile_limits
from core.decimals import plain
from core.errors import InputError
from dashboard.fields import NumberField
from dashboard.forms import Choice, OnceForm

HUNDRED: Final = Decimal(100)
LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "max_position": ("Largest position", "of equity"),
    "max_asset_weight": ("Largest asset", "of equity, over all its instruments"),
    "max_positions": ("Open positions", "at most"),
    "max_correlated": ("Three that move together", "of equity, the three largest"),
    "max_gross": ("Gross exposure", "of equity; spot never exceeds 100 %"),
    "max_open_orders": ("Open entry orders", "at most; exits are never counted"),
    "daily_loss": ("Daily loss", "then no new entries until 00:00 UTC"),
    "drawdown": ("Drawdown from the peak", "then no new entries until you reset it"),
    "losses_in_a_row": ("Losses in a row", "then no new entries until you reset it"),
    "emergency_loss": ("Emergency liquidation", "lost in a day: everything is closed"),
    "copy_stop": ("Copy stop-loss", "of a trader's share lost: it is paused, its part closed"),
}


class LimitsForm(OnceForm):
    """A risk profile or numbers of one's own, and the breakers; parts of equity are typed in percent (RSK-1).

    What is daring is said once and asked about before it is sent.
    """

    profile = forms.ChoiceField(widget=forms.RadioSelect, label="Risk limits")
    daring = forms.BooleanField(required=False, label="I have read the warnings and want it so")

    def __init__(self, data: Mapping[str, Any] | None = None, *, portfolio: Portfolio) -> None:
        super().__init__(data, initial={"profile": portfolio.risk_profile})
        self.portfolio = portfolio
        self.warnings: list[str] = []
        profile = self.fields["profile"]
        assert isinstance(profile, forms.ChoiceField)  # noqa: S101
        profile.choices = _profiles()
        now = limits_values(portfolio=portfolio)
        for name, field in FIELDS.items():
            label, text = LABELS[name]
            attrs = {"class": "input num", "inputmode": "decimal", "autocomplete": "off"}
            self.fields[name] = NumberField(
                required=False,
                decimal_places=0 if field.counts else 2,
                initial=now[name] if field.counts else plain(Decimal(now[name]) * HUNDRED),
                label=label,
                help_text=text,
                widget=forms.TextInput(attrs=attrs),
            )

    @property
    def limits(self) -> list[forms.BoundField]:
        """The fields that bound targets."""
        return [self[name] for name in LIMIT_FIELDS]

    @property
    def breakers(self) -> list[forms.BoundField]:
        """The fields of the breakers."""
        return [self[name] for name in FIELDS if name not in LIMIT_FIELDS]

    def clean(self) -> dict[str, Any]:
        """Refuse nonsense beside its field, and ask about what is daring."""
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            whole = limits_complete(portfolio=self.portfolio, values=self._values())
        except InputError as error:
            self.add_error(error.field if error.field in self.fields else None, error.message)
            return cleaned
        self.warnings = limits_warnings(whole) if self._own else []
        if self.warnings and not cleaned["daring"]:
            self.add_error("daring", "Read the warnings and tick the box, or change the numbers.")
        return cleaned

    @property
    def command(self) -> dict[str, str]:
        """The data of the command that a valid form asks for; fractions of 1 as text."""
        numbers = {name: plain(Decimal(value)) for name, value in self._values().items()}
        return {"profile": self.cleaned_data["profile"], **numbers}

    @property
    def _own(self) -> bool:
        return bool(self.cleaned_data["profile"] == OWN_PROFILE)

    def _values(self) -> dict[str, Decimal | int]:
        """Return what was typed, as limits and breakers are kept; a profile brings its own limits."""
        names = FIELDS if self._own else [name for name in FIELDS if name not in LIMIT_FIELDS]
        typed = {name: self.cleaned_data[name] for name in names if self.cleaned_data.get(name) is not None}
        return {name: int(value) if FIELDS[name].counts else value / HUNDRED for name, value in typed.items()}


def _profiles() -> list[tuple[str, Choice]]:
    choices = []
    for name, label in PROFILE_CHOICES:
        if name == OWN_PROFILE:
            choices.append((name, Choice(label, "Every number below is yours.")))
            continue
        limits = profile_limits(name=name)
        text = (
            f"{limits.max_position:.0%} in one position, {limits.max_positions} positions, "
            f"{limits.max_correlated:.0%} in three that move together, {limits.max_gross:.0%} in all."
        )
        choices.append((name, Choice(label, text)))
    return choices


class WeightsForm(forms.Form):
    """How the capital is split: equally, or by a percentage per active trader (ALL-2)."""

    weighting = forms.ChoiceField(
        choices=[
            ("equal", Choice("Equal shares", "Worked out again whenever a trader is added or leaves.")),
            ("custom", Choice("My own percentages", "At least 1 % each, exactly 100 % in all.")),
        ],
        widget=forms.RadioSelect,
        label="Split",
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, portfolio: Portfolio) -> None:
        super().__init__(data, initial={"weighting": portfolio.weighting})
        self.active = [
            follow
            for follow in follows_current(portfolio_id=portfolio.pk)
            if follow.status == Follow.Status.ACTIVE
        ]
        for follow in self.active:
            self.fields[_share_name(follow)] = NumberField(
                required=False,
                decimal_places=2,
                min_value=1,
                max_value=100,
                initial=(follow.weight * 100).quantize(Decimal("0.01")),
                label=follow.trader.name,
                widget=forms.TextInput(
                    attrs={
                        "class": "input num",
                        "inputmode": "decimal",
                        "autocomplete": "off",
                        "data-weight": "",
                    }
                ),
            )

    @property
    def shares(self) -> list[tuple[Follow, forms.BoundField]]:
        """The active traders, each with its field."""
        return [(follow, self[_share_name(follow)]) for follow in self.active]

    @property
    def weights(self) -> dict[int, Decimal] | None:
        """Percent by follow id of a valid form; None is an equal split."""
        if self.cleaned_data["weighting"] == "equal":
            return None
        return {follow.pk: self.cleaned_data[_share_name(follow)] for follow in self.active}

    def clean(self) -> dict[str, Any]:
        """Ask for every percentage once the split is the owner's own."""
        cleaned = super().clean() or {}
        for follow in self.active if cleaned.get("weighting") == "custom" else ():
            name = _share_name(follow)
            if cleaned.get(name) is None and name not in self.errors:
                self.add_error(name, "Enter a percentage such as 25 or 12.50.")
        return cleaned


def _share_name(follow: Follow) -> str:
    return f"share_{follow.pk}"
