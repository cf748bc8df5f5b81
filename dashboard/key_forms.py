"""Entering the key of an account: a form per venue, with what to allow there. Nothing secret comes back."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from accounts.domain.keys import KEY_LENGTH, NAME_LENGTH, PASSPHRASE_LENGTH, SECRET_LENGTH
from accounts.models import Credential
from dashboard.forms import Choice
from engine.credentials import KeyWish
from markets.key_permissions import KeyVenue

PURPOSES: Final = [
    (
        Credential.Purpose.FOLLOW.value,
        Choice("Follow", "Its positions are read and can be copied. Takes a key that only reads."),
    ),
    (
        Credential.Purpose.TRADE.value,
        Choice("Trade", "A live portfolio places orders with it. Takes a key that reads and trades."),
    ),
]
# Where a key is made and what to tick there, by venue.
GUIDES: Final = {
    "binance": (
        "Account → API Management. To follow: only “Enable Reading”. To trade: also “Enable Spot & Margin "
        "Trading” or “Enable Futures”. Never “Enable Withdrawals”."
    ),
    "bybit": (
        "Account → API. To follow: “Read-Only”. To trade: “Read-Write” with Orders and Positions. "
        "Never “Withdrawal”."
    ),
    "coinbase": (
        "Developer Platform → API keys. To follow: “View”. To trade: “View” and “Trade”. Never “Transfer”. "
        "A key belongs to one portfolio."
    ),
    "hyperliquid": (
        "More → API: authorize an API wallet and enter its private key, never that of the account itself. "
        "An API wallet trades and cannot withdraw. Following needs no key."
    ),
    "kraken": (
        "Settings → API. To follow: “Query” of funds, orders and trades. To trade: also “Create & modify” "
        "and “Cancel & close”. Never “Withdraw” or withdrawal addresses."
    ),
    "kucoin": (
        "API Management. To follow: “General”. To trade: also “Spot” or “Futures”. "
        "Never “Transfer” or “Withdrawal”."
    ),
    "okx": "API. To follow: “Read”. To trade: “Read” and “Trade”. Never “Withdraw”.",
}
_OFF: Final = {"class": "input id", "autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


class UnechoedInput(forms.PasswordInput):
    """Readable while it is typed, and never sent back."""

    input_type = "text"


def _secret(label: str, help_text: str, *, longest: int, required: bool = True) -> forms.CharField:
    return forms.CharField(
        max_length=longest, label=label, help_text=help_text, required=required, strip=False,
        widget=forms.PasswordInput(attrs={**_OFF, "autocomplete": "off"}, render_value=False),
    )  # fmt: skip


class KeyForm(forms.Form):
    """The fields of one venue."""

    name = forms.CharField(
        max_length=NAME_LENGTH, help_text="What you call it.",
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )  # fmt: skip
    purpose = forms.ChoiceField(choices=PURPOSES, widget=forms.RadioSelect, label="What it is for")

    def __init__(self, *args: Any, venue: KeyVenue, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.venue = venue
        self.guide = GUIDES[venue.venue]
        if venue.venue == "hyperliquid":
            self.fields["purpose"].initial = Credential.Purpose.TRADE.value
            self.fields["account"] = forms.CharField(
                max_length=KEY_LENGTH, label="Address of the account",
                help_text="0x and 40 hexadecimal digits.",
                widget=UnechoedInput(attrs=_OFF, render_value=False),
            )  # fmt: skip
            self.fields["secret"] = _secret(
                "Private key of the API wallet",
                "64 hexadecimal digits. Its address follows from it.",
                longest=SECRET_LENGTH,
            )
        else:
            self.fields["purpose"].initial = Credential.Purpose.FOLLOW.value
            self.fields["api_key"] = forms.CharField(
                max_length=KEY_LENGTH, label="API key",
                help_text=f"The public part, as {venue.label} shows it.",
                widget=UnechoedInput(attrs=_OFF, render_value=False),
            )  # fmt: skip
            self.fields["secret"] = _secret(
                "Secret",
                "Shown once when the key is made. Kept sealed, never shown again.",
                longest=SECRET_LENGTH,
            )
        if venue.passphrase:
            self.fields["passphrase"] = _secret(
                "Passphrase", "The one you chose for this key.", longest=PASSPHRASE_LENGTH
            )
        if venue.test_question is not None:
            self.fields["sandbox"] = forms.BooleanField(
                required=False, label=f"{venue.label}’s test environment",
                help_text="The key is one of its sandbox or testnet, where nothing is real.",
                widget=forms.CheckboxInput(attrs={"class": "switch", "role": "switch"}),
            )  # fmt: skip

    @property
    def inputs(self) -> list[forms.BoundField]:
        """The fields to type in, in their order."""
        return [
            self[name]
            for name in ("name", "account", "api_key", "secret", "passphrase")
            if name in self.fields
        ]

    @property
    def wish(self) -> KeyWish:
        """What a valid form asks for."""
        return KeyWish(venue=self.venue.venue, **self.cleaned_data)


class KeyNameForm(forms.Form):
    """Calling a key something else."""

    name = forms.CharField(max_length=NAME_LENGTH)
