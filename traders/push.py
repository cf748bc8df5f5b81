"""Agents that post their positions: register, change, revoke, and keep what they post (FOL-3).

An agent is a private trader of the person who registered it. What it posted last is all that is known of it;
the source ``traders.sources.push`` reads it from here.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Greatest
from django.views.decorators.debug import sensitive_variables

from accounts.audit import audit_write
from accounts.models import User
from accounts.sealing import text_open, text_seal
from core.errors import EnsembleError, InputError, NotFound
from core.ids import uuid_new
from core.types import TraderKind
from markets.models import LIVE
from traders.domain.reads import TraderPosition, TraderRead
from traders.domain.signing import (
    CLOCK_WINDOW_S,
    body_digest,
    signature_right,
    string_to_sign,
    whole_number,
)
from traders.models import PushAgent, Trader
from traders.payloads import read_dump

MAX_AGENTS: Final = 10
NAME_LENGTH: Final = 80
INTERVAL_DEFAULT_S: Final = 300
INTERVAL_LEAST_S: Final = 10
INTERVAL_MOST_S: Final = 86_400
PACE: Final = timedelta(seconds=0.5)  # two posts a second
BURST: Final = 10
NOTE: Final = "Posts its positions itself; nobody checks them. Equity and entry prices are what it says."
_NOBODY: Final = secrets.token_urlsafe(32)  # what signatures of agents that do not exist are held against


class NotTheAgent(EnsembleError):
    """No such agent, a wrong signature, or one of another moment; which of them is not told."""


class ClockWrong(NotTheAgent):
    """The agent signed rightly, at a time that is not now."""


class PostedTooFast(EnsembleError):
    """The agent posts faster than is taken.

    :param retry_after_s: when there is room again
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("Two posts a second are taken, ten at once.")
        self.retry_after_s = retry_after_s


class SequenceUsed(EnsembleError):
    """The sequence is not above that of the last post, and this is not that post again."""


class Posted(StrEnum):
    """What became of a post."""

    KEPT = "kept"
    REPEATED = "repeated"  # the last one once more: nothing was done


@dataclass(frozen=True, slots=True)
class NewAgent:
    """An agent with its signing secret at its only moment in the clear."""

    agent: PushAgent
    secret: str

    def __repr__(self) -> str:
        return f"<new agent {self.agent}>"


def agents_of(*, user: User | AnonymousUser) -> QuerySet[PushAgent]:
    """Return the person's own agents that are not revoked, oldest first; none for anybody else."""
    if not isinstance(user, User):
        return PushAgent.objects.none()
    own = PushAgent.objects.filter(trader__owner=user, revoked_at__isnull=True)
    return own.select_related("trader").order_by("pk")


def agent_get(*, user: User | AnonymousUser, agent_id: UUID) -> PushAgent:
    """Return one of the person's own agents.

    :raises NotFound: there is none with this id, or it is someone else's; the two are not told apart
    """
    agent = agents_of(user=user).filter(public_id=agent_id).first()
    if agent is None:
        raise NotFound(f"You have no agent with the id {agent_id}.")
    return agent


@sensitive_variables()
def agent_register(*, owner: User, name: str, interval_s: int, via: str, now: datetime) -> NewAgent:
    """Make an agent, which can be followed from its first post on.

    :param interval_s: the agent promises to post at least this often; later it counts as unreadable
    :raises InputError: the name is empty or too long, the interval out of bounds, or one agent too many
    """
    name, interval_s = _name_checked(name), _interval_checked(interval_s)
    public_id, secret = uuid_new(), secrets.token_urlsafe(32)
    with transaction.atomic():
        User.objects.select_for_update(of=("self",), no_key=True).get(pk=owner.pk)
        if agents_of(user=owner).count() >= MAX_AGENTS:
            raise InputError(f"You have {MAX_AGENTS} agents already, the most one person can. Revoke one.")
        trader = Trader.objects.create(
            kind=TraderKind.PUSH,
            key=str(public_id),
            name=name,
            monogram=agent_monogram(name=name),
            detail="Agent that posts its positions",
            note=NOTE,
            world=LIVE,
            owner=owner,
            sync_interval_s=settings.SYNC_INTERVAL_SECONDS,
            status=Trader.Status.PAUSED,  # until somebody follows it
            next_sync_at=now,
        )
        agent = PushAgent.objects.create(
            trader=trader,
            public_id=public_id,
            sealed=text_seal(text=secret),
            interval_s=interval_s,
            paced_at=now,
            created_at=now,
        )
        _audit("agent.add", agent, via=via, now=now, text=f"Registered {name}")
    return NewAgent(agent=agent, secret=secret)


def agent_change(
    *, agent: PushAgent, name: str | None = None, interval_s: int | None = None, via: str, now: datetime
) -> PushAgent:
    """Change an agent's name or the interval it promises.

    :raises InputError: as in ``agent_register``
    """
    wanted_name = agent.trader.name if name is None else _name_checked(name)
    wanted_s = agent.interval_s if interval_s is None else _interval_checked(interval_s)
    with transaction.atomic():
        letters = agent_monogram(name=wanted_name)
        Trader.objects.filter(pk=agent.pk).update(name=wanted_name, monogram=letters)
        PushAgent.objects.filter(pk=agent.pk).update(interval_s=wanted_s)
        agent.trader.name, agent.interval_s = wanted_name, wanted_s
        _audit("agent.change", agent, via=via, now=now, text=f"{wanted_name} posts every {wanted_s} s")
    return agent


@sensitive_variables()
def agent_rotate(*, agent: PushAgent, via: str, now: datetime) -> NewAgent:
    """Give an agent a new signing secret; what it signs with the old one is refused from now on.

    :raises NotFound: it was revoked meanwhile
    """
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        living = PushAgent.objects.filter(pk=agent.pk, revoked_at__isnull=True)
        if not living.update(sealed=text_seal(text=secret)):
            raise NotFound(f"You have no agent with the id {agent.public_id}.")
        agent.refresh_from_db()
        _audit("agent.rotate", agent, via=via, now=now, text=f"New secret for {agent.trader.name}")
    return NewAgent(agent=agent, secret=secret)


def agent_revoke(*, agent: PushAgent, followed_by: Sequence[str], via: str, now: datetime) -> bool:
    """Erase an agent's secret for good; False where it is revoked already.

    :param followed_by: names of the portfolios that follow it, see ``engine.agents``
    :raises InputError: somebody follows it
    """
    if followed_by:
        raise InputError(
            f"{agent.trader.name} is followed by {', '.join(followed_by)}. Stop following it first; a new "
            "secret shuts out whoever has the old one at once."
        )
    with transaction.atomic():
        living = PushAgent.objects.filter(pk=agent.pk, revoked_at__isnull=True)
        if not living.update(sealed="", revoked_at=now):
            return False
        agent.sealed, agent.revoked_at = "", now
        _audit("agent.revoke", agent, via=via, now=now, text=f"Revoked {agent.trader.name}")
    return True


@sensitive_variables()
def agent_authenticate(
    *, agent_id: UUID, timestamp: str, sequence: str, signature: str, method: str, path: str, body: bytes,
    now: datetime,
) -> PushAgent:  # fmt: skip
    """Return the agent that signed a post.

    An agent that is not known costs the same work and gets the same refusal as a wrong signature.

    :raises NotTheAgent: no such agent, revoked, or not its signature
    :raises ClockWrong: its signature, of a time more than 30 s away
    """
    living = PushAgent.objects.filter(public_id=agent_id, revoked_at__isnull=True)
    agent = living.select_related("trader").first()
    secret = text_open(sealed=agent.sealed) if agent else _NOBODY
    text = string_to_sign(
        timestamp=timestamp, sequence=sequence, method=method, path=path, digest=body_digest(body=body)
    )
    right = signature_right(secret=secret, text=text, given=signature)
    if agent is None or not right:
        raise NotTheAgent("No agent signed this.")
    signed_s = whole_number(timestamp)
    away_s = CLOCK_WINDOW_S + 1 if signed_s is None else abs(now.timestamp() - signed_s)
    if away_s > CLOCK_WINDOW_S:
        raise ClockWrong(
            f"The time of the signature is not within {CLOCK_WINDOW_S} s of {now.timestamp():.0f}; "
            "set the agent's clock."
        )
    return agent


def agent_pace(*, agent: PushAgent, now: datetime) -> None:
    """Count one post of an agent: ten at once, then two a second. One conditional UPDATE.

    :raises PostedTooFast: there is no room for it now
    """
    room = now + PACE * (BURST - 1)
    rows = PushAgent.objects.filter(pk=agent.pk, paced_at__lte=room)
    if not rows.update(paced_at=Greatest("paced_at", now) + PACE):
        agent.refresh_from_db(fields=["paced_at"])
        raise PostedTooFast(max(0.0, (agent.paced_at - room).total_seconds()))


def agent_post(
    *, agent: PushAgent, sequence: int, at: datetime, equity: Decimal, positions: Sequence[TraderPosition],
    digest: str, now: datetime,
) -> Posted:  # fmt: skip
    """Keep what an agent posts if its sequence is above the last one's; one conditional UPDATE.

    :param at: when it was so; later than in the last post, not in the future, not older than the interval
    :param digest: SHA-256 of the body, by which the same post is known when it comes again
    :raises InputError: ``at`` makes no sense
    :raises SequenceUsed: another post has this sequence, or a higher one
    """
    read = TraderRead(equity=equity, positions=tuple(positions), world_at=at)
    rows = PushAgent.objects.filter(pk=agent.pk, sequence__lt=sequence, revoked_at__isnull=True)
    _time_check(agent, at=at, sequence=sequence, now=now)
    kept = {"sequence": sequence, "digest": digest, "at": at, "posted_at": now, "payload": read_dump(read)}
    if rows.exclude(at__gte=at).update(**kept):
        return Posted.KEPT
    agent.refresh_from_db()
    if agent.sequence == sequence and secrets.compare_digest(agent.digest, digest):
        return Posted.REPEATED
    if agent.revoked_at is not None or agent.at is None:
        raise NotTheAgent("No agent signed this.")
    if agent.sequence < sequence:
        raise InputError(
            f"Must be later than that of the last post, {agent.at:%Y-%m-%dT%H:%M:%S.%fZ}.", field="at"
        )
    raise SequenceUsed(f"The last post has the sequence {agent.sequence}. Use a higher one for another post.")


def agent_monogram(*, name: str) -> str:
    """Return two letters that stand for a name."""
    words = name.split()
    return ("".join(word[0] for word in words[:2]) if len(words) > 1 else name[:2]).upper()


def _time_check(agent: PushAgent, *, at: datetime, sequence: int, now: datetime) -> None:
    if agent.sequence >= sequence:
        return  # judged by its sequence; the same post again may be late
    if at > now + timedelta(seconds=CLOCK_WINDOW_S):
        raise InputError("Lies in the future.", field="at")
    if at < now - timedelta(seconds=agent.interval_s):
        raise InputError(
            f"Is older than the {agent.interval_s} s within which this agent promises to post.", field="at"
        )


def _name_checked(name: str) -> str:
    clean = " ".join(name.split())
    if not clean or len(clean) > NAME_LENGTH or not clean.isprintable():
        raise InputError(f"Give the agent a name of at most {NAME_LENGTH} characters.", field="name")
    return clean


def _interval_checked(interval_s: int) -> int:
    if not INTERVAL_LEAST_S <= interval_s <= INTERVAL_MOST_S:
        raise InputError(
            f"The interval is {INTERVAL_LEAST_S} to {INTERVAL_MOST_S} seconds.", field="interval_s"
        )
    return interval_s


def _audit(action: str, agent: PushAgent, *, via: str, now: datetime, text: str) -> None:
    owner = agent.trader.owner
    data: dict[str, Any] = {"agent_id": str(agent.public_id), "interval_s": agent.interval_s}
    assert owner is not None  # noqa: S101 - the database has it so
    audit_write(action=action, outcome="done", via=via, actor=owner, text=text, data=data, now=now)
