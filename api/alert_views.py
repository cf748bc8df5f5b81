"""Alerts, the ways they go, quiet hours: everything the page does. Addresses go in and never come out."""

from __future__ import annotations

from typing import Any, cast

from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from rest_framework import serializers
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import AuditEntry, User
from accounts.selectors import BIGGEST_ID
from alerts.channels import (
    NAME_LENGTH,
    alerts_read,
    channel_add,
    channel_change,
    channel_remove,
    channel_test,
    quiet_hours_set,
)
from alerts.domain.channels import FIELD_LENGTH
from alerts.models import Alert, AlertChannel
from alerts.raising import quiet_hours_of, zone_of
from alerts.selectors import alerts_of, alerts_unread, channel_get, channels_of
from api.serializers import StrictSerializer
from api.views import ApiView
from core.clock import utc_now

NOT_KEPT = {"Cache-Control": "no-store"}
READ_AT_ONCE = 500


class AlertAnswer(serializers.ModelSerializer[Alert]):
    """One alert."""

    portfolio = serializers.IntegerField(source="portfolio_id", allow_null=True)

    class Meta:
        model = Alert
        fields = (
            "id", "kind", "title", "body", "portfolio", "raised_at", "last_at", "count", "standing", "open",
            "read_at",
        )  # fmt: skip


class AlertsRead(StrictSerializer):
    """Which alerts were read; without ``ids`` all of them."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=BIGGEST_ID),
        required=False,
        max_length=READ_AT_ONCE,
    )


class ChannelAdd(StrictSerializer):
    """A way to be told; ``address`` holds the fields its service asks for."""

    service = serializers.ChoiceField(choices=AlertChannel.Service.choices)
    name = serializers.CharField(max_length=NAME_LENGTH)
    address = serializers.DictField(child=serializers.CharField(max_length=FIELD_LENGTH), write_only=True)
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=Alert.Kind.choices), required=False, max_length=50
    )


class ChannelChange(StrictSerializer):
    """What is left out stays as it is."""

    name = serializers.CharField(max_length=NAME_LENGTH, required=False)
    enabled = serializers.BooleanField(required=False)
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=Alert.Kind.choices), required=False, max_length=50
    )


class ChannelAnswer(serializers.ModelSerializer[AlertChannel]):
    """What may be seen of a channel."""

    given_up = serializers.IntegerField()

    class Meta:
        model = AlertChannel
        fields = (
            "id", "service", "name", "mask", "kinds", "enabled", "created_at", "sent_at", "failures",
            "error", "error_at", "given_up",
        )  # fmt: skip


class QuietHoursBody(StrictSerializer):
    """From and until, as HH:MM in the person's own time zone; both null for none."""

    begins = serializers.TimeField(format="%H:%M", allow_null=True)
    ends = serializers.TimeField(format="%H:%M", allow_null=True)


def _via(request: Request) -> str:
    return (AuditEntry.Via.PAGE if request.auth is None else AuditEntry.Via.API).value


class AlertListView(ApiView):
    """GET your alerts, newest first; ``?unread=true`` for those you have not read."""

    def get(self, request: Request) -> Response:
        """Return a page of them, with how many are unread."""
        rows = alerts_of(user=request.user)
        if request.query_params.get("unread", "").lower() in {"1", "true"}:
            rows = rows.filter(read_at__isnull=True)
        pages = LimitOffsetPagination()
        listed = pages.paginate_queryset(rows, request, view=self)
        answer = cast(
            "dict[str, Any]", pages.get_paginated_response(AlertAnswer(listed, many=True).data).data
        )
        return Response({**answer, "unread": alerts_unread(owner_id=request.user.pk)}, headers=NOT_KEPT)


class AlertsReadView(ApiView):
    """POST {ids} or {} marks alerts as read."""

    def post(self, request: Request) -> Response:
        """Return how many were not read before, and how many are left."""
        wanted = self.cleaned(AlertsRead, request.data)
        user = cast("User", request.user)
        read = alerts_read(user=user, alert_ids=wanted.get("ids"), now=utc_now())
        return Response({"read": read, "unread": alerts_unread(owner_id=user.pk)}, headers=NOT_KEPT)


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ChannelListView(ApiView):
    """GET your channels; POST {service, name, address, kinds} adds one."""

    def get(self, request: Request) -> Response:
        """Return at most 10, oldest first."""
        answer = ChannelAnswer(channels_of(user=request.user), many=True).data
        return Response({"count": len(answer), "results": answer}, headers=NOT_KEPT)

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Return what is kept: 201; 400 names the field that is refused."""
        wanted = self.cleaned(ChannelAdd, request.data)
        made = channel_add(
            owner=cast("User", request.user), service=wanted["service"], name=wanted["name"],
            fields=wanted["address"], kinds=wanted.get("kinds"), via=_via(request), now=utc_now(),
        )  # fmt: skip
        return Response(ChannelAnswer(made).data, status=201, headers=NOT_KEPT)


class ChannelView(ApiView):
    """GET one channel; PATCH changes its name, kinds or whether it is on; DELETE removes it."""

    def get(self, request: Request, channel_id: int) -> Response:
        """Return what may be seen of it."""
        return Response(ChannelAnswer(self._own(channel_id)).data, headers=NOT_KEPT)

    def patch(self, request: Request, channel_id: int) -> Response:
        """Return it changed."""
        channel = self._own(channel_id)
        wanted = self.cleaned(ChannelChange, request.data)
        changed = channel_change(channel=channel, **wanted, via=_via(request), now=utc_now())
        return Response(ChannelAnswer(changed).data, headers=NOT_KEPT)

    def delete(self, request: Request, channel_id: int) -> Response:
        """Erase it with its address; 204."""
        channel_remove(channel=self._own(channel_id), via=_via(request), now=utc_now())
        return Response(status=204)

    def _own(self, channel_id: int) -> AlertChannel:
        return channel_get(user=self.request.user, channel_id=channel_id)


class ChannelTestView(ApiView):
    """POST sends a test through a channel right now."""

    def post(self, request: Request, channel_id: int) -> Response:
        """Return {sent, error}; 200 also where it was not taken, since that is what was asked."""
        channel = channel_get(user=request.user, channel_id=channel_id)
        error = channel_test(channel=channel, now=utc_now())
        return Response({"sent": not error, "error": error}, headers=NOT_KEPT)


class QuietHoursView(ApiView):
    """GET or PUT your quiet hours."""

    def get(self, request: Request) -> Response:
        """Return {begins, ends, zone}; both null where there are none."""
        return self._answer(cast("User", request.user))

    def put(self, request: Request) -> Response:
        """Set them, or take them away with two nulls."""
        wanted = self.cleaned(QuietHoursBody, request.data)
        user = cast("User", request.user)
        quiet_hours_set(user=user, begins=wanted["begins"], ends=wanted["ends"])
        return self._answer(user)

    def _answer(self, user: User) -> Response:
        hours = quiet_hours_of(user=user)
        times = {"begins": f"{hours.begins:%H:%M}", "ends": f"{hours.ends:%H:%M}"} if hours else {}
        return Response(
            {"begins": None, "ends": None, **times, "zone": zone_of(user=user).key}, headers=NOT_KEPT
        )
