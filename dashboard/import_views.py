"""Taking over a state file: choose it, look at what would be made of it, confirm."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.models import User
from accounts.services import NAME_LENGTH
from core.clock import utc_now
from core.errors import BooksDiffer, InputError, NotFound
from dashboard.page import form_refuse, page_render
from engine.domain.state_json import SIZE_MAX
from engine.import_models import StateImport
from engine.state_import import import_get, state_confirm, state_preview

SHOWN: int = 20


class FileForm(forms.Form):
    """A state file, UTF-8."""

    file = forms.FileField(
        label=gettext_lazy("State file"),
        help_text=gettext_lazy("JSON, at most 1 MB. Nothing is stored in your books before you confirm."),
        widget=forms.ClearableFileInput(attrs={"class": "input", "accept": "application/json,.json"}),
    )

    def text(self) -> str:
        """Return what is in the file.

        :raises InputError: it is too large, or no UTF-8
        """
        upload = self.cleaned_data["file"]
        if upload.size > SIZE_MAX:
            raise InputError(_("It is larger than 1 MB."), field="file")
        try:
            return str(upload.read().decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise InputError(_("It is no text in UTF-8."), field="file") from None


class ConfirmForm(forms.Form):
    """What the new portfolio is called."""

    name = forms.CharField(
        label=gettext_lazy("Name of the new portfolio"),
        max_length=NAME_LENGTH,
        widget=forms.TextInput(attrs={"class": "input"}),
    )


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def imports_page(request: HttpRequest) -> HttpResponse:
    """The person's imports, and a place for a new file; a good one leads to its preview."""
    form = FileForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = state_preview(owner=_person(request), text=form.text(), now=utc_now())
        except InputError as error:
            form_refuse(form, error)
        else:
            return redirect("dashboard:import", made.pk)
    rows = StateImport.objects.filter(owner=_person(request)).select_related("portfolio").defer("text")
    return page_render(
        request, "dashboard/imports.html", nav="", portfolio=None, form=form, imports=rows[:SHOWN],
        status=400 if form.errors else 200,
    )  # fmt: skip


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def import_page(request: HttpRequest, import_id: int) -> HttpResponse:
    """What would be, or was, taken over; confirming twice is harmless."""
    try:
        found = import_get(user=_person(request), import_id=import_id)
    except NotFound as error:
        raise Http404(error.message) from None
    form = ConfirmForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            portfolio = state_confirm(found=found, name=form.cleaned_data["name"], now=utc_now())
        except InputError as error:
            form_refuse(form, error)
        except BooksDiffer as error:
            form.add_error(None, str(error))
        else:
            messages.success(
                request, _("Taken over. What it holds is your own; follow traders to copy more.")
            )
            return redirect("dashboard:portfolio", portfolio.pk)
    return page_render(
        request, "dashboard/import.html", nav="", portfolio=None, form=form, found=found, report=found.report,
        status=400 if form.errors else 200,
    )  # fmt: skip


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - login_required has seen to it
    return request.user
