"""Forms of the pages. They check the form of what was typed; what it means is the services' to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from django import forms
from django.utils.translation import gettext_lazy

from accounts.models import RULE_CHOICES, Portfolio
from allocation.domain.limits import PROFILES
from allocation.models import Follow
from allocation.own_limits import profile_limits
from core.types import ConflictRule, OrderSide, Policy
from dashboard.fields import NumberField
from engine.trade_history import STATES, OrderFilter, follows_ever, underlyings_ordered
from execution.models import Order

LARGEST_AMOUNT: Final = Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice with a sentence about what it means."""

    title: str
    text: str

    def __str__(self) -> str:
        return self.title


POLICIES: Final = [
    (
        Policy.SPOT.value,
        Choice("Spot", "Buys what it has cash for. No shorts, no leverage; wishes to be short become flat."),
    ),
    (
        Policy.PERP.value,
        Choice("Perpetuals", "Long and short, with margin, up to the total exposure of the limits."),
    ),
]
RULES: Final = [
    (ConflictRule.COMBINE.value, Choice("Combine", "Nets every trader's wish. Longs and shorts cancel out.")),
    (
        ConflictRule.LARGEST.value,
        Choice("Largest", "Only the largest position counts, measured in your money."),
    ),
    (ConflictRule.FIRST.value, Choice("First", "Only the position that was opened first counts.")),
]
JOIN_MODES: Final = [
    (
        Follow.JoinMode.NEW_ONLY.value,
        Choice("New trades only", "What is open now is left alone. Copying begins with the next change."),
    ),
    (
        Follow.JoinMode.INCLUDE_OPEN.value,
        Choice(
            "Also open positions within 2 %",
            "Joins positions whose price is within 2 % of the trader's entry.",
        ),
    ),
]


def _profiles() -> list[tuple[str, Choice]]:
    return [
        (
            name,
            Choice(
                name.capitalize(),
                f"At most {limits.max_position:.0%} of equity in one position, "
                f"{limits.max_positions} positions, "
                f"{limits.max_gross:.0%} in all.",
            ),
        )
        for name in PROFILES
        for limits in [profile_limits(name=name)]
    ]


class OnceForm(forms.Form):
    """A form that does its work once however often it is sent; the token tells copies apart."""

    token = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["token"].initial = lambda: str(uuid4())

    @property
    def once(self) -> str:
        """The token of a valid form."""
        return str(self.cleaned_data["token"])


class _PortfolioFields(forms.Form):
    name = forms.CharField(
        max_length=80, widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"})
    )
    policy = forms.ChoiceField(choices=POLICIES, widget=forms.RadioSelect, initial=Policy.SPOT.value)
    conflict_rule = forms.ChoiceField(
        choices=RULES,
        widget=forms.RadioSelect,
        initial=ConflictRule.COMBINE.value,
        label="When traders want the same thing",
    )


class PortfolioForm(OnceForm, _PortfolioFields):
    """Opening a portfolio with paper money; what is left out of the form begins with the server's amount."""

    cash = forms.DecimalField(
        required=False,
        min_value=Decimal(1),
        max_value=LARGEST_AMOUNT,
        decimal_places=2,
        label=gettext_lazy("Paper money"),
        help_text=gettext_lazy("Play money in US dollars. More can be put in or taken out at any time."),
        widget=forms.TextInput(attrs={"class": "input num", "inputmode": "decimal", "autocomplete": "off"}),
        error_messages={"invalid": gettext_lazy("Enter an amount such as 250 or 1000.50.")},
    )
    risk_profile = forms.ChoiceField(
        choices=_profiles, widget=forms.RadioSelect, initial="conservative", label="Risk limits"
    )


class SettingsForm(_PortfolioFields):
    """Changing a portfolio. Its limits have a form of their own."""

    auto_rebalance = forms.BooleanField(
        required=False,
        label="Rebalance automatically",
        help_text=(
            "Trades drift of more than 10 % that no trader caused. "
            "When off, only traders' own changes are copied."
        ),
        widget=forms.CheckboxInput(attrs={"class": "switch", "role": "switch"}),
    )

    @classmethod
    def of(cls, portfolio: Portfolio) -> SettingsForm:
        """The form as the portfolio stands."""
        return cls(initial={name: getattr(portfolio, name) for name in cls.base_fields})


class UnderlyingForm(forms.Form):
    """Naming an instrument."""

    underlying = forms.CharField(
        max_length=48,
        label="Instrument",
        help_text="Such as BTC or SOL",
        widget=forms.TextInput(
            attrs={
                "class": "input",
                "autocomplete": "off",
                "autocapitalize": "characters",
                "spellcheck": "false",
            }
        ),
    )

    def clean_underlying(self) -> str:
        """Plain names are written in capitals; names with a venue's prefix are kept as typed."""
        typed = "".join(self.cleaned_data["underlying"].split())
        return typed.upper() if typed.islower() else typed


class OverrideForm(UnderlyingForm):
    """A conflict rule for one instrument."""

    rule = forms.ChoiceField(choices=RULE_CHOICES)


class AmountForm(OnceForm):
    """An amount of paper cash."""

    amount = NumberField(
        min_value=Decimal("0.01"),
        max_value=LARGEST_AMOUNT,
        decimal_places=2,
        widget=forms.TextInput(attrs={"class": "input num", "inputmode": "decimal", "autocomplete": "off"}),
        error_messages={"invalid": "Enter an amount such as 250 or 1000.50."},
    )


class ResetForm(AmountForm):
    """Starting over; the phrase is typed so that nobody does it by accident."""

    phrase = forms.CharField(required=False)

    def clean_phrase(self) -> str:
        """Ask for the phrase."""
        if self.cleaned_data["phrase"].strip() != "reset":
            raise forms.ValidationError("Type reset to confirm.")
        return "reset"


class TraderKeyForm(forms.Form):
    """Which trader to preview."""

    kind = forms.CharField(max_length=16, widget=forms.HiddenInput)
    key = forms.CharField(
        max_length=120,
        label="Address",
        help_text="0x and 40 hexadecimal digits; the account is read from the public record.",
        widget=forms.Textarea(
            attrs={"class": "input id", "rows": 2, "spellcheck": "false", "autocomplete": "off"}
        ),
        error_messages={"required": "Paste the address of a Hyperliquid account."},
    )

    def clean_key(self) -> str:
        """An address pasted with spaces or line breaks is the same address."""
        key = self.cleaned_data["key"]
        return "".join(key.split()) if self.data.get("kind") == "hyperliquid" else key.strip()


class FollowForm(OnceForm):
    """Confirming a preview."""

    kind = forms.CharField(max_length=16, widget=forms.HiddenInput)
    key = forms.CharField(max_length=120, widget=forms.HiddenInput)
    join_mode = forms.ChoiceField(
        choices=JOIN_MODES,
        widget=forms.RadioSelect,
        initial=Follow.JoinMode.NEW_ONLY.value,
        label="What to copy",
    )


class OrderFilterForm(forms.Form):
    """Which orders to show. Comes by GET, so a filtered list has an address."""

    state = forms.ChoiceField(required=False, widget=forms.HiddenInput)
    underlying = forms.ChoiceField(required=False, label="Instrument")
    trader = forms.TypedChoiceField(required=False, label="Trader", coerce=int, empty_value=None)
    side = forms.ChoiceField(
        required=False,
        choices=[("", "Both sides"), *((side.value, side.value.capitalize()) for side in OrderSide)],
    )
    origin = forms.ChoiceField(
        required=False, label="Asked for by", choices=[("", "Anyone"), *Order.Origin.choices]
    )
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, data: Mapping[str, Any], *, portfolio: Portfolio) -> None:
        super().__init__(data, auto_id="f-%s")
        self._choose("state", [("", "All"), *((key, label) for key, (label, _) in STATES.items())])
        names = underlyings_ordered(portfolio=portfolio)
        self._choose("underlying", [("", "All instruments"), *((name, name) for name in names)])
        people = [(str(follow.pk), follow.trader.name) for follow in follows_ever(portfolio=portfolio)]
        self._choose("trader", [("", "All traders"), *people, ("0", "My own part")])
        for name in ("since", "until"):
            self.fields[name].widget.attrs["class"] = "input"

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101
        field.choices = choices

    @property
    def wanted(self) -> OrderFilter:
        """What of the filter makes sense; a field with an error filters nothing."""
        self.is_valid()
        cleaned = self.cleaned_data
        return OrderFilter(
            state=cleaned.get("state", ""),
            underlying=cleaned.get("underlying", ""),
            follow_id=cleaned.get("trader"),
            side=cleaned.get("side", ""),
            origin=cleaned.get("origin", ""),
            since=cleaned.get("since"),
            until=cleaned.get("until"),
        )

    @property
    def narrowed(self) -> bool:
        """Whether anything is filtered at all."""
        return self.wanted != OrderFilter()
