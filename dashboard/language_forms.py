"""The form of a person's language and time zone."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from accounts.zones import zone_names


class ProfileForm(forms.Form):
    """Language and zone; the zone is searched by typing a part of its name."""

    language = forms.ChoiceField(label=gettext_lazy("Language"), choices=settings.LANGUAGES)
    time_zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        max_length=64,
        help_text=gettext_lazy(
            "Type a city, such as Warsaw. The trading day ends at 00:00 UTC in every zone."
        ),
        widget=forms.TextInput(
            attrs={"class": "input", "list": "zones", "autocomplete": "off", "spellcheck": "false"}
        ),
    )

    @classmethod
    def of(cls, user: User, *, language: str) -> ProfileForm:
        """Return the form with what counts for somebody now."""
        return cls(initial={"language": user.language or language, "time_zone": user.time_zone or "UTC"})

    def clean_time_zone(self) -> str:
        """Take a zone's name in any case, or its city alone where only one zone is called so."""
        typed: Any = self.cleaned_data["time_zone"].strip().replace(" ", "_").lower()
        found = [
            name for name in zone_names() if name.lower() == typed or name.lower().rpartition("/")[2] == typed
        ]
        if len(found) != 1:
            raise forms.ValidationError(
                _("There is no time zone “%(name)s”. Choose one from the list, such as Europe/Warsaw.")
                % {"name": self.cleaned_data["time_zone"]}
            )
        return found[0]
