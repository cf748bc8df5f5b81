"""Conflicts: how each was resolved, what each rule makes of one, and what waits for its owner."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.domain.scopes import Scope
from accounts.models import RULE_CHOICES
from api.asking import command_ask
from api.base import NOT_KEPT, ApiView, PagedView
from api.fields import PlainDecimalField
from api.filters import ApprovalFilter, ConflictFilter
from api.serializers import StrictSerializer
from api.trading_serializers import CommandAnswer
from api.view_schema import RulePreview
from core.errors import NotFound
from core.instruments import is_code
from engine.conflict_story import conflict_story
from engine.models import Command
from positions.models import ConflictApproval, ConflictRecord


class WishWritten(serializers.Serializer[Any]):
    """One trader's wish, in our size; signed, long positive. Decimals are strings."""

    follow_id = serializers.IntegerField()
    side = serializers.CharField()
    quantity = serializers.CharField()
    notional = serializers.CharField()
    counted = serializers.BooleanField(required=False)
    opened_at = serializers.DateTimeField(allow_null=True, required=False)


class ConflictAnswer(serializers.ModelSerializer[ConflictRecord]):
    """How one conflict was resolved; quantities are signed. ``ended_at`` null: it stands."""

    holders = WishWritten(many=True)
    before_quantity = PlainDecimalField()
    after_quantity = PlainDecimalField()
    after_notional = PlainDecimalField()
    mark_price = PlainDecimalField()

    class Meta:
        model = ConflictRecord
        fields = (
            "id", "underlying", "kind", "rule", "holders", "before_quantity", "after_quantity",
            "after_notional", "mark_price", "capped_reason", "run", "at", "world_at", "ended_at",
        )  # fmt: skip


class ApprovalAnswer(serializers.ModelSerializer[ConflictApproval]):
    """A conflict that waits or waited for its owner; ``previews`` by rule."""

    holders = WishWritten(many=True)
    previews = serializers.DictField(child=RulePreview())

    class Meta:
        model = ConflictApproval
        fields = (
            "id", "underlying", "kind", "status", "rule", "holders", "previews", "asked_at", "lapses_at",
            "decided_at", "decided_by",
        )  # fmt: skip


class OutcomeAnswer(serializers.Serializer[Any]):
    """What one rule makes of the wishes; signed quantities, ``change`` is what would be ordered."""

    rule = serializers.ChoiceField(choices=RULE_CHOICES)
    before = PlainDecimalField()
    after = PlainDecimalField()
    change = PlainDecimalField()
    value = PlainDecimalField(help_text="Of the change, at the mark.")
    capped = serializers.CharField(help_text="Which limit cut it.")
    chosen = serializers.BooleanField()


class ConflictWhole(serializers.Serializer[Any]):
    """One instrument's conflict; the newest where none stands."""

    underlying = serializers.CharField()
    kind = serializers.CharField()
    rule = serializers.CharField()
    mark_price = PlainDecimalField(source="mark")
    standing = serializers.BooleanField()
    limited = serializers.BooleanField(help_text="The outcomes count the limits in.")
    outcomes = OutcomeAnswer(many=True)
    approval = ApprovalAnswer(allow_null=True)
    records = ConflictAnswer(many=True)
    approvals = ApprovalAnswer(many=True)


class ApproveRequest(StrictSerializer):
    """The rule that is to count for these wishes."""

    rule = serializers.ChoiceField(choices=RULE_CHOICES)


class ConflictListView(PagedView):
    """GET how every conflict was resolved, newest first: ?underlying=…&rule=…&standing=true&since=…"""

    tag = "Conflicts"
    list_summary = "List how every conflict was resolved, newest first."
    serializer_class = ConflictAnswer
    filterset_class = ConflictFilter

    def get_queryset(self) -> QuerySet[ConflictRecord]:
        """Return the records of the caller's portfolio."""
        return ConflictRecord.objects.filter(portfolio=self.portfolio())


class ConflictView(ApiView):
    """GET one instrument's conflict."""

    tag = "Conflicts"

    @extend_schema(responses={200: ConflictWhole})
    def get(self, request: Request, portfolio_id: int, underlying: str) -> Response:
        """Read one instrument's conflict, with what each rule makes of it and its history."""
        portfolio = self.portfolio()
        if not is_code(underlying):
            raise NotFound(f"This portfolio has had no conflict about {underlying}.")
        story = conflict_story(portfolio=portfolio, underlying=underlying)
        return Response(ConflictWhole(story).data, headers=NOT_KEPT)


class ApprovalListView(PagedView):
    """GET the conflicts that waited for their owner, newest first: ?status=waiting"""

    tag = "Conflicts"
    list_summary = "List the conflicts that wait or waited for you, newest first."
    serializer_class = ApprovalAnswer
    filterset_class = ApprovalFilter

    def get_queryset(self) -> QuerySet[ConflictApproval]:
        """Return the approvals of the caller's portfolio."""
        return ConflictApproval.objects.filter(portfolio=self.portfolio())


class ApproveCommandView(ApiView):
    """POST {rule} approves a conflict."""

    tag = "Conflicts"
    keyed = True
    write_scope = Scope.TRADE

    @extend_schema(request=ApproveRequest, responses={202: CommandAnswer})
    def post(self, request: Request, portfolio_id: int, approval_id: int) -> Response:
        """Approve a conflict. The rule counts for these wishes until a trader changes one."""
        portfolio, wanted = self.portfolio(), self.cleaned(ApproveRequest, request.data)
        data = {"approval_id": approval_id, "rule": wanted["rule"]}
        return command_ask(self, portfolio=portfolio, kind=Command.Kind.APPROVE.value, data=data)


class RejectCommandView(ApiView):
    """POST rejects a conflict."""

    tag = "Conflicts"
    keyed = True
    write_scope = Scope.TRADE

    @extend_schema(request=None, responses={202: CommandAnswer})
    def post(self, request: Request, portfolio_id: int, approval_id: int) -> Response:
        """Reject a conflict. The position stays as it is until a trader changes its wish."""
        data = {"approval_id": approval_id}
        return command_ask(self, portfolio=self.portfolio(), kind=Command.Kind.REJECT.value, data=data)
