"""The shape of how a portfolio stands with its real account, for the document of the API."""

from __future__ import annotations

from rest_framework import serializers

from accounts.models import POLICY_CHOICES, LiveAccount
from api.fields import Shape, flag, moment, number, one_of, whole, words


class LiveConnected(Shape):
    """The account at the venue."""

    venue = words()
    sandbox = flag("An account of the venue's test environment.")
    policy = one_of(POLICY_CHOICES)
    quote = words()
    state = one_of(LiveAccount.State.choices)
    assigned = number("Cash of the account that the portfolio uses.")
    max_positions = whole("Null: as many as the limits allow.", null=True)
    promoted_at = moment(null=True)
    looked_at = moment(null=True)
    error = words()
    problems = serializers.ListField(child=words())


class LiveCondition(Shape):
    """One condition for going live."""

    name = words()
    met = flag()
    text = words()


class LiveRamp(Shape):
    """Why it may not hold more positions yet, and how many it could hold next."""

    problem = words()
    next = whole(null=True)


class LiveHeld(Shape):
    """Something the account holds, and how much of it is ours."""

    kind = words()
    code = words()
    quantity = number()
    ours = number()
    text = words()


class LiveFound(Shape):
    """A difference between books and account; settle it with the command `live_settle`."""

    id = whole()
    kind = words()
    code = words()
    books = number()
    seen = number()
    text = words()
    confirmed = flag()
    ways = serializers.ListField(child=words())


class LiveStand(Shape):
    """How a portfolio stands with its account; without one only `badge`, `server_allows` and `account`."""

    badge = words()
    server_allows = flag()
    account = LiveConnected(allow_null=True)
    conditions = LiveCondition(many=True, required=False)
    ramp = LiveRamp(required=False)
    holdings = LiveHeld(many=True, required=False)
    findings = LiveFound(many=True, required=False)
    shadow = serializers.DictField(required=False, allow_null=True, help_text="What the shadow did.")
