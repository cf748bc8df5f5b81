"""Making an API token: a name, what it may do, how long it lives, and the portfolio it may be bound to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.domain.scopes import SCOPE_TEXTS, Scope
from accounts.models import Portfolio, User
from accounts.selectors import portfolios_of
from accounts.tokens import NAME_LENGTH
from dashboard.forms import OnceForm

DAYS: Final = [
    ("7", _("7 days")),
    ("30", _("30 days")),
    ("90", _("90 days")),
    ("365", _("a year")),
]
SCOPES: Final = [(scope.value, f"{scope.value}: {SCOPE_TEXTS[scope]}") for scope in Scope]


class TokenForm(OnceForm):
    """A new token."""

    name = forms.CharField(
        max_length=NAME_LENGTH,
        label=_("Name"),
        help_text=_("What the program is called that will use it."),
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        choices=SCOPES,
        label=_("What it may do"),
        initial=[Scope.READ.value],
        widget=forms.CheckboxSelectMultiple,
    )
    portfolio = forms.ModelChoiceField(
        queryset=Portfolio.objects.none(),
        required=False,
        label=_("Portfolio"),
        empty_label=_("All of mine"),
        widget=forms.Select(attrs={"class": "input"}),
        help_text=_("A token for one portfolio reaches no other, and no keys and agents."),
    )
    days = forms.ChoiceField(
        choices=DAYS, initial="30", label=_("Lives for"), widget=forms.Select(attrs={"class": "input"})
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, user: User) -> None:
        super().__init__(data)
        self.fields["portfolio"].queryset = portfolios_of(user=user)  # type: ignore[attr-defined]

    @property
    def lifetime(self) -> timedelta:
        """How long a valid form's token lives."""
        return timedelta(days=int(self.cleaned_data["days"]))
