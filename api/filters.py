"""Query filters and pages of lists."""

from __future__ import annotations

import django_filters
from rest_framework.pagination import CursorPagination, LimitOffsetPagination

from accounts.selectors import BIGGEST_ID
from engine.models import Decision


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


class DecisionPages(CursorPagination):
    """Newest first; a cursor, so that pages hold still while new decisions arrive."""

    ordering = "-id"
    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"


class ShortPages(LimitOffsetPagination):
    """For lists that are short by nature."""

    default_limit = 50
    max_limit = 200
