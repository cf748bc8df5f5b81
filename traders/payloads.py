"""Reads as JSON for snapshots, quarantine and cache: decimals as strings, times as ISO-8601."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from core.decimals import plain
from traders.domain.reads import TraderPosition, TraderRead
from traders.models import TraderSnapshot


def positions_dump(positions: tuple[TraderPosition, ...]) -> list[dict[str, Any]]:
    """Return positions as ``TraderSnapshot.positions`` keeps them, by code."""
    return [
        {
            "code": position.code,
            "quantity": _text(position.quantity),
            "entry_price": _text(position.entry_price),
            "mark_price": None if position.mark_price is None else _text(position.mark_price),
            "opened_at": None if position.opened_at is None else position.opened_at.isoformat(),
        }
        for position in sorted(positions, key=lambda position: position.code)
    ]


def positions_load(rows: list[dict[str, Any]]) -> tuple[TraderPosition, ...]:
    """Return the positions of a snapshot; the inverse of :func:`positions_dump`."""
    return tuple(
        TraderPosition(
            code=row["code"],
            quantity=Decimal(row["quantity"]),
            entry_price=Decimal(row["entry_price"]),
            mark_price=None if row["mark_price"] is None else Decimal(row["mark_price"]),
            opened_at=None if row["opened_at"] is None else datetime.fromisoformat(row["opened_at"]),
        )
        for row in rows
    )


def read_dump(read: TraderRead) -> dict[str, Any]:
    """Return a whole read as JSON."""
    return {
        "equity": _text(read.equity),
        "positions": positions_dump(read.positions),
        "world_at": read.world_at.isoformat(),
        "run": read.run,
        "notes": list(read.notes),
        "origin": dict(read.origin),
        "doubt": read.doubt,
    }


def read_load(payload: Mapping[str, Any]) -> TraderRead:
    """Return the read that :func:`read_dump` wrote."""
    return TraderRead(
        equity=Decimal(payload["equity"]),
        positions=positions_load(payload["positions"]),
        world_at=datetime.fromisoformat(payload["world_at"]),
        run=payload["run"],
        notes=tuple(payload.get("notes", ())),
        origin=payload.get("origin", {}),
        doubt=payload.get("doubt", ""),
    )


def snapshot_read(snapshot: TraderSnapshot) -> TraderRead:
    """Return the read that a snapshot was made from."""
    return TraderRead(
        equity=snapshot.equity,
        positions=positions_load(snapshot.positions),
        world_at=snapshot.world_at,
        run=snapshot.run,
        notes=tuple(snapshot.notes),
        origin=snapshot.origin,
    )


def _text(value: Decimal) -> str:
    return plain(value) if value.is_finite() else str(value)
