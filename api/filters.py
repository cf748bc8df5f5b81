"""Query filters and pages of lists."""

from __future__ import annotations

import django_filters
from rest_framework.pagination import CursorPagination, LimitOffsetPagination

from accounts.models import AuditEntry
from accounts.selectors import BIGGEST_ID
from allocation.models import BreakerTrip, LedgerEntry, Reservation
from engine.models import Command, Decision, ExitTrigger
from execution.models import Fill, Order
from positions.models import ConflictApproval, ConflictRecord, Position
from traders.models import StrategySignal


class WordsFilter(django_filters.BaseInFilter, django_filters.CharFilter):
    """Any of several words, separated by commas."""


class DecisionFilter(django_filters.FilterSet):
    """?kind=copied,capped&underlying=BTC&follow=3&since=2026-01-01T00:00:00Z (since: wall time)."""

    kind = WordsFilter(field_name="kind", max_length=16)
    underlying = django_filters.CharFilter(field_name="underlying", max_length=48)
    follow = django_filters.NumberFilter(
        field_name="follows", min_value=1, max_value=BIGGEST_ID, decimal_places=0
    )
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")

    class Meta:
        model = Decision
        fields: tuple[str, ...] = ()


class CommandFilter(django_filters.FilterSet):
    """?kind=close,cancel&status=running&since=2026-01-01T00:00:00Z"""

    kind = WordsFilter(field_name="kind", max_length=16)
    status = WordsFilter(field_name="status", max_length=8)
    since = django_filters.IsoDateTimeFilter(field_name="accepted_at", lookup_expr="gte")

    class Meta:
        model = Command
        fields: tuple[str, ...] = ()


class OrderFilter(django_filters.FilterSet):
    """?status=filled,cancelled&underlying=BTC&side=BUY&purpose=entry&origin=person&command=<id>&since=…"""

    status = WordsFilter(field_name="status", max_length=18)
    underlying = django_filters.CharFilter(field_name="underlying", max_length=48)
    side = WordsFilter(field_name="side", max_length=4)
    purpose = WordsFilter(field_name="purpose", max_length=12)
    origin = WordsFilter(field_name="origin", max_length=8)
    command = django_filters.UUIDFilter(field_name="command_id")
    since = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")

    class Meta:
        model = Order
        fields: tuple[str, ...] = ()


class TriggerFilter(django_filters.FilterSet):
    """?kind=stop_loss,trailing&status=done&underlying=BTC&position=12&since=2026-01-01T00:00:00Z"""

    kind = WordsFilter(field_name="kind", max_length=12)
    status = WordsFilter(field_name="status", max_length=8)
    underlying = django_filters.CharFilter(field_name="position__underlying", max_length=48)
    position = django_filters.NumberFilter(
        field_name="position_id", min_value=1, max_value=BIGGEST_ID, decimal_places=0
    )
    since = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")

    class Meta:
        model = ExitTrigger
        fields: tuple[str, ...] = ()


class AuditFilter(django_filters.FilterSet):
    """?action=position.close&outcome=refused&via=api&command=<id>&since=2026-01-01T00:00:00Z"""

    action = WordsFilter(field_name="action", max_length=48)
    outcome = WordsFilter(field_name="outcome", max_length=8)
    via = WordsFilter(field_name="via", max_length=12)
    command = django_filters.UUIDFilter(field_name="command_id")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")

    class Meta:
        model = AuditEntry
        fields: tuple[str, ...] = ()


class SignalFilter(django_filters.FilterSet):
    """?code=BTC&side=BUY,SELL&since=2026-01-01T00:00:00Z (since: world time)."""

    code = django_filters.CharFilter(field_name="code", max_length=48)
    side = WordsFilter(field_name="side", max_length=4)
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")

    class Meta:
        model = StrategySignal
        fields: tuple[str, ...] = ()


class PositionFilter(django_filters.FilterSet):
    """?status=active,closing&underlying=BTC&open=true&since=… (since: wall time of its opening)"""

    status = WordsFilter(field_name="status", max_length=12)
    underlying = django_filters.CharFilter(field_name="underlying", max_length=48)
    open = django_filters.BooleanFilter(field_name="closed_at", lookup_expr="isnull")
    since = django_filters.IsoDateTimeFilter(field_name="opened_at", lookup_expr="gte")

    class Meta:
        model = Position
        fields: tuple[str, ...] = ()


class ClosedFilter(django_filters.FilterSet):
    """?underlying=BTC&since=… (since: wall time of its closing)"""

    underlying = django_filters.CharFilter(field_name="underlying", max_length=48)
    since = django_filters.IsoDateTimeFilter(field_name="closed_at", lookup_expr="gte")

    class Meta:
        model = Position
        fields: tuple[str, ...] = ()


class FillFilter(django_filters.FilterSet):
    """?underlying=BTC&order=12&since=2026-01-01T00:00:00Z"""

    underlying = django_filters.CharFilter(field_name="order__underlying", max_length=48)
    order = django_filters.NumberFilter(
        field_name="order_id", min_value=1, max_value=BIGGEST_ID, decimal_places=0
    )
    since = django_filters.IsoDateTimeFilter(field_name="received_at", lookup_expr="gte")

    class Meta:
        model = Fill
        fields: tuple[str, ...] = ()


class LedgerFilter(django_filters.FilterSet):
    """?kind=deposit,fee&since=2026-01-01T00:00:00Z"""

    kind = WordsFilter(field_name="kind", max_length=12)
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")

    class Meta:
        model = LedgerEntry
        fields: tuple[str, ...] = ()


class ConflictFilter(django_filters.FilterSet):
    """?underlying=BTC&rule=combine&standing=true&since=2026-01-01T00:00:00Z"""

    underlying = django_filters.CharFilter(field_name="underlying", max_length=48)
    rule = WordsFilter(field_name="rule", max_length=8)
    standing = django_filters.BooleanFilter(field_name="ended_at", lookup_expr="isnull")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")

    class Meta:
        model = ConflictRecord
        fields: tuple[str, ...] = ()


class ApprovalFilter(django_filters.FilterSet):
    """?status=waiting&underlying=BTC"""

    status = WordsFilter(field_name="status", max_length=8)
    underlying = django_filters.CharFilter(field_name="underlying", max_length=48)

    class Meta:
        model = ConflictApproval
        fields: tuple[str, ...] = ()


class TripFilter(django_filters.FilterSet):
    """?kind=daily_loss&standing=true&since=2026-01-01T00:00:00Z"""

    kind = WordsFilter(field_name="kind", max_length=16)
    standing = django_filters.BooleanFilter(field_name="reset_at", lookup_expr="isnull")
    since = django_filters.IsoDateTimeFilter(field_name="tripped_at", lookup_expr="gte")

    class Meta:
        model = BreakerTrip
        fields: tuple[str, ...] = ()


class NewestFirst(CursorPagination):
    """Newest first; a cursor, so that pages hold still while new decisions arrive."""

    ordering: str | tuple[str, ...] = "-id"
    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"


class ClosedPages(NewestFirst):
    """The one closed last first."""

    ordering = ("-closed_at", "-id")


class CommandPages(NewestFirst):
    """The same for commands, whose ids are random."""

    ordering = ("-accepted_at", "id")


class CapitalFilter(django_filters.FilterSet):
    """?status=granted,waiting&source=momentum&instrument=BTC"""

    status = WordsFilter(field_name="status", max_length=8)
    source = django_filters.CharFilter(field_name="source", max_length=80)
    instrument = django_filters.CharFilter(field_name="instrument_code", max_length=48)

    class Meta:
        model = Reservation
        fields: tuple[str, ...] = ()


class CapitalPages(NewestFirst):
    """Newest first."""

    ordering = ("-requested_at", "id")


class ShortPages(LimitOffsetPagination):
    """For lists that are short by nature."""

    default_limit = 50
    max_limit = 200
