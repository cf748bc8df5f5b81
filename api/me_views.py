"""Who one is: the account's own few settings."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.second_factor import second_factor_active
from api.base import NOT_KEPT, ApiView
from api.serializers import StrictSerializer


class MeChange(StrictSerializer):
    """Language of pages and messages, and the zone in which times are shown."""

    language = serializers.CharField(max_length=8, required=False, allow_blank=True)
    time_zone = serializers.CharField(max_length=64, required=False, allow_blank=True)

    def validate_language(self, language: str) -> str:
        """Take a language the server speaks; empty is what the browser asks for."""
        known = [code for code, _ in settings.LANGUAGES]
        if language and language not in known:
            raise serializers.ValidationError(f"There is no “{language}”; there are {', '.join(known)}.")
        return language

    def validate_time_zone(self, zone: str) -> str:
        """Take an IANA name; empty is UTC."""
        if zone and zone not in available_timezones():
            raise serializers.ValidationError("Write an IANA name, such as Europe/Warsaw.")
        return zone

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Require at least one of them."""
        if not attrs:
            raise serializers.ValidationError("Name what to change: language or time_zone.")
        return attrs


class MeAnswer(serializers.ModelSerializer[User]):
    """The person who asks."""

    second_factor = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ("id", "email", "role", "language", "time_zone", "date_joined", "second_factor")

    def get_second_factor(self, user: User) -> bool:
        """Tell whether signing in asks for a second factor."""
        return second_factor_active(user=user)


class MeView(ApiView):
    """GET who you are; PATCH {language?, time_zone?} changes it."""

    tag = "You"

    @extend_schema(responses={200: MeAnswer})
    def get(self, request: Request) -> Response:
        """Read who you are."""
        return Response(MeAnswer(self.person()).data, headers=NOT_KEPT)

    @extend_schema(request=MeChange, responses={200: MeAnswer})
    def patch(self, request: Request) -> Response:
        """Change your language or time zone."""
        person, wanted = self.person(), self.cleaned(MeChange, request.data)
        for name, value in wanted.items():
            setattr(person, name, value)
        person.save(update_fields=list(wanted))
        return Response(MeAnswer(person).data, headers=NOT_KEPT)
