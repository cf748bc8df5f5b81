"""How a person wants to be told: a form per service, what goes there, quiet hours. No address comes back."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from alerts.channels import NAME_LENGTH, addresses_verified, kinds_of
from alerts.domain.channels import FIELD_LENGTH, SERVICE_FIELDS, Service
from alerts.models import Alert, AlertChannel

LABELS: Final = {
    (Service.EMAIL, "address"): (_("Address"), _("One that you have confirmed.")),
    (Service.TELEGRAM, "token"): (_("Token of your bot"), _("From @BotFather: digits, a colon, letters.")),
    (Service.TELEGRAM, "chat"): (_("Chat"), _("The number of the chat, or @name of a channel.")),
    (Service.SLACK, "url"): (_("Webhook URL"), _("From Slack: Incoming Webhooks → Add to Slack.")),
    (Service.DISCORD, "url"): (_("Webhook URL"), _("Channel settings → Integrations → Webhooks.")),
    (Service.WEBHOOK, "url"): (_("URL"), _("It is sent JSON by POST.")),
    (Service.WEBHOOK, "secret"): (_("Secret"), _("16 characters at least. Every message is signed with it.")),
    (Service.OTHER, "url"): (
        _("Apprise URL"),
        _(
            "Of ntfy, Pushover, Pushbullet, Gotify, Matrix, Mattermost, Rocket.Chat, Google Chat, Zulip, "
            "Join or Prowl."
        ),
    ),
}
HINTS: Final = {
    Service.TELEGRAM: _("Make a bot with @BotFather, write to it once, and enter its token and your chat."),
    Service.WEBHOOK: _("For a program of yours. Redirects are not followed."),
    Service.OTHER: _("As the documentation of Apprise describes it, for a service that is reached by https."),
}
_OFF: Final = {"class": "input", "autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


class KindsField(forms.MultipleChoiceField):
    """What goes to a channel."""

    def __init__(self, *, user: User) -> None:
        labels = dict(Alert.Kind.choices)
        super().__init__(
            choices=[(kind.value, labels[kind.value]) for kind in kinds_of(user=user)],
            widget=forms.CheckboxSelectMultiple,
            required=False,
            label=_("What goes there"),
        )


class ChannelForm(forms.Form):
    """The fields of one service."""

    name = forms.CharField(
        max_length=NAME_LENGTH, label=_("Name"), help_text=_("What you call it."),
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )  # fmt: skip

    def __init__(self, *args: Any, service: Service, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.service, self.user = service, user
        self.service_label = AlertChannel.Service(service.value).label
        self.hint = HINTS.get(service, "")
        self.fields["name"].initial = self.service_label
        for field in SERVICE_FIELDS[service]:
            label, help_text = LABELS[service, field.name]
            self.fields[field.name] = self._field(field.name, label, help_text, secret=field.secret)
        self.fields["kinds"] = KindsField(user=user)
        self.fields["kinds"].initial = [kind.value for kind in kinds_of(user=user)]

    def _field(self, name: str, label: Any, help_text: Any, *, secret: bool) -> forms.Field:
        if self.service is Service.EMAIL:
            self.addresses = addresses_verified(user=self.user)
            return forms.ChoiceField(
                choices=[(one, one) for one in self.addresses], label=label, help_text=help_text
            )
        widget = forms.PasswordInput(attrs=_OFF) if secret else forms.TextInput(attrs=_OFF)
        return forms.CharField(
            max_length=FIELD_LENGTH, label=label, help_text=help_text, widget=widget, strip=True
        )

    @property
    def inputs(self) -> list[forms.BoundField]:
        """The fields to fill in, in their order."""
        return [self["name"], *(self[field.name] for field in SERVICE_FIELDS[self.service])]

    @property
    def address(self) -> dict[str, str]:
        """The fields of a valid form that say where to."""
        return {field.name: self.cleaned_data[field.name] for field in SERVICE_FIELDS[self.service]}


class ChannelEditForm(forms.Form):
    """Name, what goes there, and whether anything does."""

    name = forms.CharField(max_length=NAME_LENGTH)
    enabled = forms.BooleanField(required=False)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kinds"] = KindsField(user=user)


def _clock() -> forms.TimeInput:
    return forms.TimeInput(attrs={"class": "input", "type": "time"}, format="%H:%M")


class QuietForm(forms.Form):
    """Quiet hours; both empty for none."""

    begins = forms.TimeField(required=False, label=_("From"), widget=_clock())
    ends = forms.TimeField(required=False, label=_("Until"), widget=_clock())
