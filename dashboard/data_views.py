"""The data page: everything a person can take out of a portfolio."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import Portfolio
from dashboard.page import SignedInRequest, owner_page, page_render
from engine.domain.export_format import Ending
from engine.exports import SUBJECTS


class SpanForm(forms.Form):
    """From which day to which; empty fields mean everything. Comes by GET, so a span has an address."""

    since = forms.DateField(
        required=False, label=_("From"), widget=forms.DateInput(attrs={"type": "date", "class": "input"})
    )
    until = forms.DateField(
        required=False, label=_("To"), widget=forms.DateInput(attrs={"type": "date", "class": "input"})
    )

    def clean(self) -> dict[str, Any]:
        """Refuse a span that ends before it begins."""
        cleaned = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error("until", _("It must not be before “From”."))
        return cleaned

    @property
    def query(self) -> str:
        """The span as the API takes it; a field that makes no sense asks for everything."""
        names = {"since": "from", "until": "to"}
        typed = self.cleaned_data if self.is_valid() else {}
        return urlencode({names[name]: day.isoformat() for name, day in typed.items() if day})


@owner_page
@never_cache
@require_safe
def data_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Each subject with a download in each format, for the chosen days."""
    form = SpanForm(request.GET, auto_id="f-%s")
    return page_render(
        request,
        "dashboard/data.html",
        nav="orders",
        part="data",
        portfolio=portfolio,
        form=form,
        query=form.query,
        subjects=[(name, subject.title, subject.table.about) for name, subject in SUBJECTS.items()],
        endings=list(Ending),
    )
