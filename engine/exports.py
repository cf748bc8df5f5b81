"""What a person takes out of a portfolio: fills, orders, positions, equity, ledger, decisions (DAT-1).

Rows are read by their number, a few thousand at a time, each batch in a query of its own. So memory stays
flat, and no connection waits while a slow reader takes the file: an export keeps no page from the database.
A row that comes while an export runs is not in it. ``engine.state_export`` writes the books of one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import F, Max, Model, OuterRef, QuerySet, Subquery, Sum
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from accounts.models import Portfolio
from allocation.models import Follow, LedgerEntry
from core.errors import InputError
from engine.domain.export_format import CONTENT_TYPES, Column, Ending, Kind, Row, Table, table_write
from engine.models import Decision
from engine.state_export import state_export
from execution.models import Fill, Order
from positions.models import EquityPoint, Position, PositionSlice, SliceEntry

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

BATCH_ROWS: Final = 5_000
STATE: Final = "state"
_INTEGER, _AMOUNT, _MOMENT, _FLAG, _DATA = Kind.INTEGER, Kind.AMOUNT, Kind.MOMENT, Kind.FLAG, Kind.DATA


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that can be exported.

    :param fields: where each column comes from, in the order of the table's columns; the first is ``pk``
    :param moment: the field that ``from`` and ``to`` look at
    """

    title: StrOrPromise
    table: Table
    fields: tuple[str, ...]
    moment: str
    rows: Callable[[int], QuerySet[Any]]


@dataclass(frozen=True, slots=True)
class Export:
    """One export, ready to be read.

    :param chunks: its text in pieces, read from the database as they are taken
    """

    file_name: str
    content_type: str
    chunks: Iterator[str]


def export_open(
    *,
    portfolio: Portfolio,
    what: str,
    ending: str,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Export:
    """Return an export of one portfolio, oldest row first.

    :param since: from this moment on; :param until: before this moment. Both by wall time
    :raises InputError: there is no such export or no such format, or it ends before it begins
    """
    if what == STATE:
        return _state(portfolio=portfolio, ending=ending, now=now)
    subject = SUBJECTS.get(what)
    if subject is None:
        raise InputError(f"There is no export “{what}”; there are {', '.join(SUBJECTS)}.", field="what")
    if ending not in set(Ending):
        raise InputError(f"“{ending}” is no format; there are {', '.join(Ending)}.", field="format")
    if since and until and since >= until:
        raise InputError("It ends before it begins: “to” must be later than “from”.", field="to")
    chosen = Ending(ending)
    rows = _rows(portfolio_id=portfolio.pk, subject=subject, since=since, until=until)
    return Export(
        file_name=f"portfolio-{portfolio.pk}-{what}-{now.astimezone(UTC):%Y%m%d-%H%M%S}.{ending}",
        content_type=CONTENT_TYPES[chosen],
        chunks=table_write(table=subject.table, ending=chosen, rows=rows),
    )


def _state(*, portfolio: Portfolio, ending: str, now: datetime) -> Export:
    """Return the books of now as a state file, which can be taken over again."""
    if ending != Ending.JSON:
        raise InputError(f"The state is written as json, not as “{ending}”.", field="format")
    return Export(
        file_name=f"portfolio-{portfolio.pk}-state-{now.astimezone(UTC):%Y%m%d-%H%M%S}.json",
        content_type=CONTENT_TYPES[Ending.JSON],
        chunks=iter((state_export(portfolio=portfolio, now=now),)),
    )


def moment_read(text: str, *, field: str, day_after: bool = False) -> datetime | None:
    """Return the moment that a day (2026-01-31, UTC) or a moment in ISO 8601 names; None for nothing.

    :param day_after: a day means its end, so that a span includes it whole
    :raises InputError: it is neither, or a moment without a zone
    """
    text = text.strip()
    if not text:
        return None
    try:
        if len(text) == len("2026-01-31"):
            day = date.fromisoformat(text) + timedelta(days=1 if day_after else 0)
            return datetime.combine(day, time.min, tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InputError(
            f"“{text}” is no day and no moment; write 2026-01-31 or 2026-01-31T12:00:00Z.", field=field
        ) from None
    if moment.tzinfo is None:
        raise InputError(f"“{text}” has no time zone; add Z for UTC.", field=field)
    return moment


def _rows(
    *, portfolio_id: int, subject: Subject, since: datetime | None, until: datetime | None
) -> Iterator[Row]:
    """Return the rows, batch by batch in the order of their numbers, up to the newest that there is now."""
    wanted = subject.rows(portfolio_id)
    if since:
        wanted = wanted.filter(**{f"{subject.moment}__gte": since})
    if until:
        wanted = wanted.filter(**{f"{subject.moment}__lt": until})
    model: type[Model] = wanted.model
    newest = model._default_manager.aggregate(newest=Max("pk"))["newest"] or 0
    wanted = wanted.order_by("pk").filter(pk__lte=newest)
    reached = 0
    while True:
        batch = list(wanted.filter(pk__gt=reached).values_list(*subject.fields)[:BATCH_ROWS])
        _connection_hand_back()
        yield from batch
        if len(batch) < BATCH_ROWS:
            return
        reached = batch[-1][0]


def _connection_hand_back() -> None:
    """Let others use the connection while the reader takes its time, except inside a transaction."""
    if not connection.in_atomic_block:
        connection.close()


def _subject(
    *,
    name: str,
    title: StrOrPromise,
    about: str,
    moment: str,
    columns: Mapping[str, str | tuple[str, Kind]],
    rows: Callable[[int], QuerySet[Any]],
) -> Subject:
    """Return a subject whose first column is the row's number; a column without a kind is a text."""
    whole = {"id": ("pk", _INTEGER), **columns}
    pairs = {key: (value, Kind.TEXT) if isinstance(value, str) else value for key, value in whole.items()}
    return Subject(
        title=title,
        table=Table(name, tuple(Column(key, kind) for key, (_field, kind) in pairs.items()), about),
        fields=tuple(field for field, _kind in pairs.values()),
        moment=moment,
        rows=rows,
    )


# ---------------------------------------------------------------- what there is
def _fills(portfolio_id: int) -> QuerySet[Fill]:
    booked = SliceEntry.objects.filter(fill=OuterRef("pk")).order_by().values("fill")
    realized = Subquery(booked.annotate(total=Sum("realized_pnl")).values("total"))
    return Fill.objects.filter(order__portfolio=portfolio_id).annotate(realized=realized)


def _orders(portfolio_id: int) -> QuerySet[Order]:
    return Order.objects.filter(portfolio=portfolio_id)


def _positions(portfolio_id: int) -> QuerySet[Position]:
    net = F("realized_pnl") - F("fees") + F("funding")
    return Position.objects.filter(portfolio=portfolio_id).annotate(net=net)


def _slices(portfolio_id: int) -> QuerySet[PositionSlice]:
    return PositionSlice.objects.filter(position__portfolio=portfolio_id)


def _equity(portfolio_id: int) -> QuerySet[EquityPoint]:
    return EquityPoint.objects.filter(portfolio=portfolio_id)


def _ledger(portfolio_id: int) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(portfolio=portfolio_id)


def _decisions(portfolio_id: int) -> QuerySet[Decision]:
    links = Follow.objects.filter(decisions=OuterRef("pk")).order_by("pk")
    return Decision.objects.filter(portfolio=portfolio_id).annotate(
        follow_ids=ArraySubquery(links.values("pk")), traders=ArraySubquery(links.values("trader__name"))
    )


SUBJECTS: Final[Mapping[str, Subject]] = {
    subject.table.name: subject
    for subject in (
        _subject(
            name="fills",
            title=_("Trades"),
            about=gettext_noop(
                "Every execution at the venue. quantity is positive; realized_pnl is before fees."
            ),
            moment="received_at",
            rows=_fills,
            columns={
                "order_id": ("order_id", _INTEGER),
                "client_order_id": "order__client_order_id",
                "venue": "venue",
                "venue_fill_id": "venue_fill_id",
                "instrument": "order__instrument_id",
                "underlying": "order__underlying",
                "side": "order__side",
                "quantity": ("quantity", _AMOUNT),
                "price": ("price", _AMOUNT),
                "fee": ("fee", _AMOUNT),
                "fee_quantity": ("fee_quantity", _AMOUNT),
                "realized_pnl": ("realized", _AMOUNT),
                "purpose": "order__purpose",
                "origin": "order__origin",
                "at": ("received_at", _MOMENT),
                "world_at": ("world_at", _MOMENT),
            },
        ),
        _subject(
            name="orders",
            title=_("Orders"),
            about=gettext_noop("Every order. quantity is positive; committed is the capital behind it now."),
            moment="created_at",
            rows=_orders,
            columns={
                "client_order_id": "client_order_id",
                "venue": "venue",
                "venue_order_id": "venue_order_id",
                "instrument": "instrument_id",
                "underlying": "underlying",
                "policy": "policy",
                "side": "side",
                "purpose": "purpose",
                "origin": "origin",
                "quantity": ("quantity", _AMOUNT),
                "limit_price": ("limit_price", _AMOUNT),
                "decision_mark": ("decision_mark", _AMOUNT),
                "filled_quantity": ("filled_quantity", _AMOUNT),
                "filled_notional": ("filled_notional", _AMOUNT),
                "fees": ("fees", _AMOUNT),
                "committed": ("committed", _AMOUNT),
                "reduce_only": ("reduce_only", _FLAG),
                "market": ("market", _FLAG),
                "status": "status",
                "status_reason": "status_reason",
                "reason": "reason",
                "score": ("score", _AMOUNT),
                "created_at": ("created_at", _MOMENT),
                "submitted_at": ("submitted_at", _MOMENT),
                "expires_at": ("expires_at", _MOMENT),
                "finished_at": ("finished_at", _MOMENT),
            },
        ),
        _subject(
            name="positions",
            title=_("Positions"),
            about=gettext_noop("Open and closed positions. quantity and cost are negative for short ones."),
            moment="opened_at",
            rows=_positions,
            columns={
                "instrument": "instrument_id",
                "underlying": "underlying",
                "policy": "policy",
                "status": "status",
                "quantity": ("quantity", _AMOUNT),
                "cost": ("cost", _AMOUNT),
                "margin": ("margin", _AMOUNT),
                "margin_rate": ("margin_rate", _AMOUNT),
                "realized_pnl": ("realized_pnl", _AMOUNT),
                "fees": ("fees", _AMOUNT),
                "funding": ("funding", _AMOUNT),
                "net_pnl": ("net", _AMOUNT),
                "opened_at": ("opened_at", _MOMENT),
                "opened_world_at": ("opened_world_at", _MOMENT),
                "closed_at": ("closed_at", _MOMENT),
                "closed_world_at": ("closed_world_at", _MOMENT),
            },
        ),
        _subject(
            name="slices",
            title=_("Positions by trader"),
            about=gettext_noop(
                "Each trader's part of each position; without a follow, the owner's own part."
            ),
            moment="position__opened_at",
            rows=_slices,
            columns={
                "position_id": ("position_id", _INTEGER),
                "underlying": "position__underlying",
                "position_status": "position__status",
                "follow_id": ("follow_id", _INTEGER),
                "trader": "follow__trader__name",
                "quantity": ("quantity", _AMOUNT),
                "cost": ("cost", _AMOUNT),
                "realized_pnl": ("realized_pnl", _AMOUNT),
                "fees": ("fees", _AMOUNT),
                "funding": ("funding", _AMOUNT),
            },
        ),
        _subject(
            name="equity",
            title=_("Equity"),
            about=gettext_noop(
                "The equity curve. unit_value is free of deposits and withdrawals and starts at 1."
            ),
            moment="at",
            rows=_equity,
            columns={
                "run": ("run", _INTEGER),
                "at": ("at", _MOMENT),
                "world_at": ("world_at", _MOMENT),
                "equity": ("equity", _AMOUNT),
                "unit_value": ("unit_value", _AMOUNT),
            },
        ),
        _subject(
            name="ledger",
            title=_("Ledger"),
            about=gettext_noop("Every booking of cash. Positive amounts came in; cash is the sum of all."),
            moment="at",
            rows=_ledger,
            columns={
                "kind": "kind",
                "amount": ("amount", _AMOUNT),
                "units": ("units", _AMOUNT),
                "reference": "reference",
                "note": "note",
                "at": ("at", _MOMENT),
                "world_at": ("world_at", _MOMENT),
            },
        ),
        _subject(
            name="decisions",
            title=_("Decisions"),
            about=gettext_noop("Every decision, to do something or not to, with its reason."),
            moment="at",
            rows=_decisions,
            columns={
                "kind": "kind",
                "underlying": "underlying",
                "text": "text",
                "reason": "reason",
                "follow_ids": ("follow_ids", _DATA),
                "traders": ("traders", _DATA),
                "order_id": ("order_id", _INTEGER),
                "data": ("data", _DATA),
                "run": ("run", _INTEGER),
                "at": ("at", _MOMENT),
                "world_at": ("world_at", _MOMENT),
            },
        ),
    )
}
