"""Alerts, the ways they go, quiet hours: everything the page does. Addresses go in and never come out."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

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
from api.base import NOT_KEPT, ApiView
from api.fields import flag, whole, words
from api.filters import ShortPages
from api.idempotency import once
from api.serializers import StrictSerializer
from core.clock import utc_now

READ_AT_ONCE = 500
PAGE = (
    OpenApiParameter("limit", type={"type": "integer", "minimum": 1, "maximum": ShortPages.max_limit}),
    OpenApiParameter("offset", type={"type": "integer", "minimum": 0}),
)
UNREAD = OpenApiParameter("unread", type=bool, description="Only those you have not read.")


class AlertAnswer(serializers.ModelSerializer[Alert]):
    """One alert."""

    portfolio = serializers.IntegerField(source="portfolio_id", allow_null=True)

    class Meta:
        model = Alert
        fields = (
            "id", "kind", "title", "body", "portfolio", "raised_at", "last_at", "count", "standing", "open",
            "read_at",
        )  # fmt: skip


class AlertPage(serializers.Serializer[object]):
    """One page of alerts."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = AlertAnswer(many=True)
    unread = whole("How many of all you have not read.")


class AlertsRead(StrictSerializer):
    """Which alerts were read; without ``ids`` all of them."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=BIGGEST_ID),
        required=False,
        max_length=READ_AT_ONCE,
    )


class ReadAnswer(serializers.Serializer[object]):
    """What marking came to."""

    read = whole("How many were not read before.")
    unread = whole("How many are left.")


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

    kinds = serializers.ListField(child=serializers.ChoiceField(choices=Alert.Kind.choices))
    given_up = whole("How many alerts never got through.")

    class Meta:
        model = AlertChannel
        fields = (
            "id", "service", "name", "mask", "kinds", "enabled", "created_at", "sent_at", "failures",
            "error", "error_at", "given_up",
        )  # fmt: skip


class ChannelList(serializers.Serializer[object]):
    """All channels of a person."""

    count = serializers.IntegerField()
    results = ChannelAnswer(many=True)


class ChannelTested(serializers.Serializer[object]):
    """Whether the test was taken."""

    sent = flag()
    error = words("Empty where it was.")


class QuietHoursBody(StrictSerializer):
    """From and until, as HH:MM in the person's own time zone; both null for none."""

    begins = serializers.TimeField(format="%H:%M", allow_null=True)
    ends = serializers.TimeField(format="%H:%M", allow_null=True)


class QuietHoursAnswer(QuietHoursBody):
    """The same, with the zone they are in."""

    begins = serializers.CharField(allow_null=True, help_text="HH:MM.")  # type: ignore[assignment]
    ends = serializers.CharField(allow_null=True, help_text="HH:MM.")  # type: ignore[assignment]
    zone = words("By its name in the tz database.")


class AlertListView(ApiView):
    """GET your alerts, newest first; ``?unread=true`` for those you have not read."""

    tag = "Alerts"

    @extend_schema(parameters=[*PAGE, UNREAD], responses={200: AlertPage})
    def get(self, request: Request) -> Response:
        """List your alerts, newest first. ``unread`` counts those you have not read."""
        rows = alerts_of(user=request.user)
        if request.query_params.get("unread", "").lower() in {"1", "true"}:
            rows = rows.filter(read_at__isnull=True)
        pages = ShortPages()
        listed = pages.paginate_queryset(rows, request, view=self)
        answer: dict[str, Any] = pages.get_paginated_response(AlertAnswer(listed, many=True).data).data
        return Response({**answer, "unread": alerts_unread(owner_id=request.user.pk)}, headers=NOT_KEPT)


class AlertsReadView(ApiView):
    """POST {ids} or {} marks alerts as read."""

    tag = "Alerts"

    @extend_schema(request=AlertsRead, responses={200: ReadAnswer})
    @once
    def post(self, request: Request) -> Response:
        """Mark alerts as read. Without ``ids`` all of them."""
        wanted, person = self.cleaned(AlertsRead, request.data), self.person()
        read = alerts_read(user=person, alert_ids=wanted.get("ids"), now=utc_now())
        return Response({"read": read, "unread": alerts_unread(owner_id=person.pk)}, headers=NOT_KEPT)


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ChannelListView(ApiView):
    """GET your channels; POST {service, name, address, kinds} adds one."""

    tag = "Alerts"

    @extend_schema(responses={200: ChannelList})
    def get(self, request: Request) -> Response:
        """List the ways in which you are told. At most 10, oldest first."""
        answer = ChannelAnswer(channels_of(user=request.user), many=True).data
        return Response({"count": len(answer), "results": answer}, headers=NOT_KEPT)

    @extend_schema(request=ChannelAdd, responses={201: ChannelAnswer})
    @once
    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Add a way to be told. Its address is sealed and never shown again."""
        wanted = self.cleaned(ChannelAdd, request.data)
        made = channel_add(
            owner=self.person(), service=wanted["service"], name=wanted["name"],
            fields=wanted["address"], kinds=wanted.get("kinds"), via=self.via(), now=utc_now(),
        )  # fmt: skip
        return Response(ChannelAnswer(made).data, status=201, headers=NOT_KEPT)


class ChannelView(ApiView):
    """GET one channel; PATCH changes its name, kinds or whether it is on; DELETE removes it."""

    tag = "Alerts"

    @extend_schema(responses={200: ChannelAnswer})
    def get(self, request: Request, channel_id: int) -> Response:
        """Read one channel. Of its address only what may be seen."""
        return Response(ChannelAnswer(self._own(channel_id)).data, headers=NOT_KEPT)

    @extend_schema(request=ChannelChange, responses={200: ChannelAnswer})
    def patch(self, request: Request, channel_id: int) -> Response:
        """Change a channel. What is left out stays as it is."""
        channel = self._own(channel_id)
        wanted = self.cleaned(ChannelChange, request.data)
        changed = channel_change(channel=channel, **wanted, via=self.via(), now=utc_now())
        return Response(ChannelAnswer(changed).data, headers=NOT_KEPT)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, channel_id: int) -> Response:
        """Remove a channel. It is erased with its address."""
        channel_remove(channel=self._own(channel_id), via=self.via(), now=utc_now())
        return Response(status=204)

    def _own(self, channel_id: int) -> AlertChannel:
        return channel_get(user=self.request.user, channel_id=channel_id)


class ChannelTestView(ApiView):
    """POST sends a test through a channel right now."""

    tag = "Alerts"

    @extend_schema(request=None, responses={200: ChannelTested})
    @once
    def post(self, request: Request, channel_id: int) -> Response:
        """Send a test through a channel. 200 also where it was not taken, since that is what was asked."""
        channel = channel_get(user=request.user, channel_id=channel_id)
        error = channel_test(channel=channel, now=utc_now())
        return Response({"sent": not error, "error": error}, headers=NOT_KEPT)


class QuietHoursView(ApiView):
    """GET or PUT your quiet hours."""

    tag = "Alerts"

    @extend_schema(responses={200: QuietHoursAnswer})
    def get(self, request: Request) -> Response:
        """Read your quiet hours. Both null where there are none."""
        return self._answer()

    @extend_schema(request=QuietHoursBody, responses={200: QuietHoursAnswer})
    def put(self, request: Request) -> Response:
        """Set your quiet hours. Two nulls take them away."""
        wanted = self.cleaned(QuietHoursBody, request.data)
        quiet_hours_set(user=self.person(), begins=wanted["begins"], ends=wanted["ends"])
        return self._answer()

    def _answer(self) -> Response:
        hours, zone = quiet_hours_of(user=self.person()), zone_of(user=self.person()).key
        times = {"begins": f"{hours.begins:%H:%M}", "ends": f"{hours.ends:%H:%M}"} if hours else {}
        return Response({"begins": None, "ends": None, **times, "zone": zone}, headers=NOT_KEPT)
