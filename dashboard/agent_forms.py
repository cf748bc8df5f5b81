"""Registering an agent, and changing what it is called and how often it promises to post."""

from __future__ import annotations

from django import forms

from dashboard.forms import OnceForm
from traders.push import INTERVAL_DEFAULT_S, INTERVAL_LEAST_S, INTERVAL_MOST_S, NAME_LENGTH


class AgentChangeForm(forms.Form):
    """Its name and its promise."""

    name = forms.CharField(
        max_length=NAME_LENGTH, help_text="What you call it.",
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )  # fmt: skip
    interval_s = forms.IntegerField(
        min_value=INTERVAL_LEAST_S,
        max_value=INTERVAL_MOST_S,
        initial=INTERVAL_DEFAULT_S,
        label="Posts at least every … seconds",
        help_text="Silent for longer it counts as unreadable: nothing is entered, exits go on.",
        widget=forms.TextInput(attrs={"class": "input num", "inputmode": "numeric", "autocomplete": "off"}),
    )


class AgentForm(OnceForm, AgentChangeForm):
    """A new agent."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields(["name", "interval_s"])
