"""Forms that name a trader, one per kind that is typed rather than picked."""

from __future__ import annotations

from typing import Any

from django import forms

from core.errors import InputError
from core.types import TraderKind
from traders.evm.addresses import address_parse
from traders.evm.chain_file import chain_rpc_url, chains_all


def chains_on() -> list[tuple[str, str]]:
    """Return the chains that have a node here: name and label."""
    return [(name, chain.label) for name, chain in chains_all().items() if chain_rpc_url(chain=chain)]


class ChainWalletForm(forms.Form):
    """A wallet on a chain."""

    kind = forms.CharField(max_length=16, widget=forms.HiddenInput, initial=TraderKind.EVM.value)
    chain = forms.ChoiceField(choices=chains_on, label="Chain")
    address = forms.CharField(
        max_length=120,
        label="Address",
        help_text="0x and 40 hexadecimal digits; balances are read from the chain itself.",
        widget=forms.Textarea(
            attrs={"class": "input id", "rows": 2, "spellcheck": "false", "autocomplete": "off"}
        ),
        error_messages={"required": "Paste the address of a wallet."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["auto_id"] = "chain_%s"  # the page has another address
        super().__init__(*args, **kwargs)

    @classmethod
    def of(cls, key: str) -> ChainWalletForm:
        """Return the form as it was filled in for a trader's key."""
        chain, _, address = key.partition(":")
        return cls(initial={"chain": chain, "address": address})

    @property
    def any_chain(self) -> bool:
        """Tell whether wallets can be followed on this server."""
        return bool(chains_on())

    @property
    def key(self) -> str:
        """The trader's key of a valid form."""
        return f"{self.cleaned_data['chain']}:{self.cleaned_data['address']}"

    def clean_address(self) -> str:
        """Say at the address what is wrong with it."""
        try:
            return address_parse(text=self.cleaned_data["address"])
        except InputError as error:
            raise forms.ValidationError(error.message) from error
