"""Forms of the page of a portfolio's real account; each asks for one command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django import forms

from accounts.models import Credential, Portfolio
from core.decimals import plain
from dashboard.fields import NumberField
from dashboard.forms import LARGEST_AMOUNT, OnceForm
from engine.live.settling import LABELS
from engine.models import Command

Kind = Command.Kind
TEXT = {"class": "input", "autocomplete": "off"}


class ConnectForm(OnceForm):
    """Which key to trade with, and how much of its account's cash to use."""

    credential_id = forms.ChoiceField(label="Trading key", widget=forms.Select(attrs={"class": "input"}))
    assigned = NumberField(
        label="Cash to assign",
        min_value=Decimal("0.01"),
        max_value=LARGEST_AMOUNT,
        decimal_places=2,
        help_text="At most what is free in the account. The rest stays untouched.",
        widget=forms.TextInput(attrs={**TEXT, "class": "input num", "inputmode": "decimal"}),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, keys: Iterable[Credential]) -> None:
        super().__init__(data, auto_id="connect_%s")
        choices = [(str(key.pk), f"{key.name}: {key}{' (sandbox)' if key.sandbox else ''}") for key in keys]
        field = self.fields["credential_id"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = choices

    @property
    def command(self) -> dict[str, Any]:
        """The data of the command."""
        typed = self.cleaned_data
        return {"credential_id": int(typed["credential_id"]), "assigned": plain(typed["assigned"])}


class ConfirmForm(OnceForm):
    """The portfolio's name, typed."""

    confirm = forms.CharField(max_length=80, widget=forms.TextInput(attrs=TEXT))

    def __init__(self, data: Mapping[str, Any] | None = None, *, portfolio: Portfolio, kind: str) -> None:
        super().__init__(data, auto_id=f"{kind}_%s")
        self.fields["confirm"].label = f"Type “{portfolio.name}” to confirm"

    @property
    def command(self) -> dict[str, Any]:
        """The data of the command."""
        return {name: value for name, value in self.cleaned_data.items() if name != "token"}


class PromoteForm(ConfirmForm):
    """The name, and why the shadow ends before its time."""

    shortened = forms.CharField(
        max_length=240,
        required=False,
        label="Why the shadow ends sooner",
        help_text="Only if it has not run its time. What you write is kept.",
        widget=forms.TextInput(attrs=TEXT),
    )


class DisconnectForm(OnceForm):
    """Nothing but the wish."""

    command: Mapping[str, Any] = {}


class SettleForm(OnceForm):
    """What a finding is."""

    finding_id = forms.IntegerField(min_value=1, widget=forms.HiddenInput)
    way = forms.ChoiceField(choices=list(LABELS.items()))

    @property
    def command(self) -> dict[str, Any]:
        """The data of the command."""
        return {"finding_id": self.cleaned_data["finding_id"], "way": self.cleaned_data["way"]}


def live_form(
    kind: str, data: Mapping[str, Any] | None, *, portfolio: Portfolio, keys: Iterable[Credential]
) -> Any:
    """Return the form of a kind of command; None where the page has none for it."""
    if kind == Kind.LIVE_CONNECT:
        return ConnectForm(data, keys=keys)
    if kind == Kind.LIVE_PROMOTE:
        return PromoteForm(data, portfolio=portfolio, kind=kind)
    if kind in (Kind.LIVE_RAMP, Kind.LIVE_STOP):
        return ConfirmForm(data, portfolio=portfolio, kind=kind)
    if kind == Kind.LIVE_DISCONNECT:
        return DisconnectForm(data, auto_id="disconnect_%s")
    return SettleForm(data, auto_id=False) if kind == Kind.LIVE_SETTLE else None
