"""API tokens of a person: list, make, end. A token is shown once, on the answer that made it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts.domain.scopes import scopes_clean
from accounts.models import AuditEntry
from accounts.tokens import NewToken, api_token_create, api_token_end, api_token_get, api_tokens_living
from core.clock import utc_now
from core.errors import InputError, NotFound
from dashboard.page import SignedInRequest, form_already_done, form_done, form_refuse, page_render
from dashboard.token_forms import TokenForm

_VIA = AuditEntry.Via.PAGE.value


@login_required
@never_cache
@sensitive_variables("made")
@require_http_methods(["GET", "HEAD", "POST"])
def tokens_page(request: SignedInRequest) -> HttpResponse:
    """List the tokens; a POST makes one and shows it this once."""
    if request.method != "POST":
        return _page(request, form=TokenForm(user=request.user))
    form = TokenForm(request.POST, user=request.user)
    if form.is_valid():
        if done := form_already_done(request, token=form.once):
            return redirect(done)
        try:
            made = api_token_create(
                owner=request.user,
                name=form.cleaned_data["name"],
                scopes=scopes_clean(wanted=form.cleaned_data["scopes"]),
                lifetime=form.lifetime,
                portfolio=form.cleaned_data["portfolio"],
                via=_VIA,
                now=utc_now(),
            )
        except InputError as error:
            form_refuse(form, error)
        else:
            form_done(request, token=form.once, url=request.path)
            return _page(request, form=TokenForm(user=request.user), made=made)
    return _page(request, form=form, status=400)


@login_required
@never_cache
@require_POST
def token_end(request: SignedInRequest, token_id: int) -> HttpResponse:
    """End a token; a second press finds nothing."""
    try:
        record = api_token_get(user=request.user, token_id=token_id)
    except NotFound as error:
        raise Http404(error.message) from None
    api_token_end(record=record, actor=request.user, via=_VIA, now=utc_now())
    messages.success(request, _("The token is ended. Whatever used it is refused from now on."))
    return redirect("dashboard:tokens")


def _page(
    request: SignedInRequest, *, form: TokenForm, made: NewToken | None = None, status: int = 200
) -> HttpResponse:
    return page_render(
        request,
        "dashboard/tokens.html",
        nav="tokens",
        portfolio=None,
        status=status,
        tokens=list(api_tokens_living(user=request.user, now=utc_now())),
        form=form,
        made=made,
    )
