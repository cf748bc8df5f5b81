"""Exports as downloads, written while they are read (DAT-1)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from api.base import ApiView
from core.clock import utc_now
from engine.domain.export_format import CONTENT_TYPES
from engine.exports import SUBJECTS, Export, export_open, moment_read

ENDINGS: Final = [ending.value for ending in CONTENT_TYPES]
_MOMENT: Final = "A day (UTC) or a moment in ISO 8601 with its zone."
ASKED: Final = [
    OpenApiParameter("from", type=str, description=_MOMENT),
    OpenApiParameter("to", type=str, description=f"{_MOMENT} A day is included."),
    OpenApiParameter("what", type=str, location=OpenApiParameter.PATH, enum=sorted(SUBJECTS)),
    OpenApiParameter("ending", type=str, location=OpenApiParameter.PATH, enum=ENDINGS),
]
FILES: Final = {(200, media): OpenApiTypes.STR for media in CONTENT_TYPES.values()}


class AnyAccept(BaseContentNegotiation):
    """The address names the format, so whatever a client accepts is fine; problems are JSON as everywhere."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser of the endpoint; nothing is sent to it."""
        return next(iter(parsers), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the one that problems are written with."""
        first = next(iter(renderers))
        return first, str(first.media_type)


class ExportView(ApiView):
    """GET a portfolio's rows as a file: fills, orders, positions, slices, equity, ledger or decisions.

    ``?from=`` and ``?to=`` take a day (UTC; a ``to`` day is included) or a moment in ISO 8601 with its zone.
    The file is written while it is read; one that broke off lacks its last line: ``]`` in JSON,
    ``COMMIT;`` in SQL.
    """

    tag = "Exports"
    content_negotiation_class = AnyAccept

    @extend_schema(parameters=ASKED, responses=FILES)
    def get(self, request: Request, *, portfolio_id: int, what: str, ending: str) -> StreamingHttpResponse:
        """Take rows out as a file. What and in which format is in the address; written while it is read."""
        typed = request.query_params
        export = export_open(
            portfolio=self.portfolio(),
            what=what,
            ending=ending,
            since=moment_read(typed.get("from", ""), field="from"),
            until=moment_read(typed.get("to", ""), field="to", day_after=True),
            now=utc_now(),
        )
        return export_answer(request=request, export=export)


def export_answer(*, request: Request, export: Export) -> StreamingHttpResponse:
    """Return an export as a download that holds one piece at a time, on either kind of server."""
    under_asgi = isinstance(request._request, ASGIRequest)
    chunks = _taken_aside(export.chunks) if under_asgi else export.chunks
    answer = StreamingHttpResponse(chunks, content_type=export.content_type)
    answer["Content-Disposition"] = f'attachment; filename="{export.file_name}"'
    answer["Cache-Control"] = "no-store"
    return answer


async def _taken_aside(chunks: Iterator[str]) -> AsyncIterator[str]:
    """Take each piece in the request's own thread; under ASGI a plain iterator would be read whole first."""
    take = sync_to_async(lambda: next(chunks, None), thread_sensitive=True)
    while (chunk := await take()) is not None:
        yield chunk
