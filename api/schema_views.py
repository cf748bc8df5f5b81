"""The document of the API, for programs and for people."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from api.base import ApiView
from api.openapi import document


class SchemaView(ApiView):
    """GET the document of the API."""

    tag = "Document"
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()

    @extend_schema(responses={200: {"type": "object", "additionalProperties": {}}})
    def get(self, request: Request) -> Response:
        """Read this document, OpenAPI 3.1."""
        return Response(document(), headers={"Cache-Control": "public, max-age=300"})
