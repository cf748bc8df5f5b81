"""A followed trader's changes with their decisions (BEY-3), and how independent the traders are (BEY-5)."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.base import ApiView, PagedView
from api.fields import PlainDecimalField
from api.serializers import DecisionAnswer
from core.clock import utc_now
from engine.independence import portfolio_independence
from engine.models import AnsweredChange


class ChangeAnswer(serializers.ModelSerializer[AnsweredChange]):
    """One change of a trader, in units of the underlying, with the decision it got first."""

    before = PlainDecimalField()
    after = PlainDecimalField()
    decision = DecisionAnswer()

    class Meta:
        model = AnsweredChange
        fields = (
            "id", "underlying", "change", "before", "after", "run", "world_at", "seen_at", "decided_at",
            "decision",
        )  # fmt: skip


class ChangeListView(PagedView):
    """GET a followed trader's changes, newest first: ?limit=…&cursor=…"""

    tag = "Traders"
    list_summary = "List a followed trader's changes with the decision each got first, newest first."
    serializer_class = ChangeAnswer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[AnsweredChange]:
        """Return the changes of the trader behind the follow."""
        rows = AnsweredChange.objects.filter(follow=self.follow())
        return rows.select_related("decision").prefetch_related("decision__follows")


class PairAnswer(serializers.Serializer[Any]):
    """Two traders, by follow: each measure from -1 to 1, similarity from 0 to 1; null: not known."""

    one = serializers.IntegerField()
    other = serializers.IntegerField()
    overlap = serializers.FloatField(allow_null=True)
    correlation = serializers.FloatField(allow_null=True)
    similarity = serializers.FloatField(allow_null=True)


class IndependenceAnswer(serializers.Serializer[Any]):
    """How many active traders there are, and how many independent ones they are worth."""

    count = serializers.IntegerField()
    effective = serializers.FloatField(allow_null=True, help_text="Null while a pair is not known.")
    least = serializers.FloatField(help_text="If every unknown pair were one bet.")
    most = serializers.FloatField(help_text="If every unknown pair were independent.")
    pairs = PairAnswer(many=True)


class IndependenceView(ApiView):
    """GET the effective number of independent traders, and each pair."""

    tag = "Risk"

    @extend_schema(responses={200: IndependenceAnswer})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Read how many independent traders the portfolio follows, and each pair."""
        found = portfolio_independence(portfolio=self.portfolio(), now=utc_now())
        return Response(IndependenceAnswer(found).data)
