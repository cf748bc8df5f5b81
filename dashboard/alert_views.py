"""What a person was told, the ways they are told, and when they are left alone. Their own alone."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import AuditEntry
from accounts.words import said
from alerts.channels import (
    alerts_read,
    channel_add,
    channel_change,
    channel_remove,
    channel_test,
    kinds_of,
    quiet_hours_set,
)
from alerts.domain.channels import Service
from alerts.models import Alert, AlertChannel
from alerts.raising import quiet_hours_of, zone_of
from alerts.selectors import alerts_of, channel_get, channels_of
from core.clock import utc_now
from core.errors import InputError, NotFound
from dashboard.alert_forms import ChannelEditForm, ChannelForm, QuietForm
from dashboard.page import SignedInRequest, form_refuse, page_addresses, page_render

_VIA = AuditEntry.Via.PAGE.value
PER_PAGE = 25


@sensitive_post_parameters()
@sensitive_variables()
@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def alerts_page(request: SignedInRequest) -> HttpResponse:
    """List alerts and channels; ``?service=`` shows the form of a service, and a POST adds a channel."""
    chosen = request.GET.get("service", "")
    if chosen not in AlertChannel.Service.values:
        if chosen:
            raise Http404("There is no such service.")
        return _page(request, status=400 if request.method == "POST" else 200)
    form = ChannelForm(
        request.POST if request.method == "POST" else None, service=Service(chosen), user=request.user
    )
    if request.method != "POST":
        return _page(request, form=form)
    if form.is_valid():
        try:
            made = channel_add(
                owner=request.user, service=chosen, name=form.cleaned_data["name"], fields=form.address,
                kinds=form.cleaned_data["kinds"], via=_VIA, now=utc_now(),
            )  # fmt: skip
        except InputError as error:
            form_refuse(form, error)
        else:
            messages.success(
                request, _("“%(name)s” is kept. Send a test to see that it arrives.") % {"name": made.name}
            )
            return redirect("dashboard:alerts")
    return _page(request, form=form, status=400)


@login_required
@never_cache
@require_POST
def alerts_read_all(request: SignedInRequest) -> HttpResponse:
    """Mark everything as read."""
    alerts_read(user=request.user, alert_ids=None, now=utc_now())
    return redirect("dashboard:alerts")


@login_required
@never_cache
@require_POST
def quiet_save(request: SignedInRequest) -> HttpResponse:
    """Set quiet hours, or take them away with two empty fields."""
    form = QuietForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("A time has hours and minutes, such as 22:00."))
        return redirect("dashboard:alerts")
    begins, ends = form.cleaned_data["begins"], form.cleaned_data["ends"]
    try:
        quiet_hours_set(user=request.user, begins=begins, ends=ends)
    except InputError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("Quiet hours are kept.") if begins else _("You have no quiet hours now."))
    return redirect("dashboard:alerts")


@login_required
@never_cache
@require_POST
def channel_edit(request: SignedInRequest, channel_id: int) -> HttpResponse:
    """Change what a channel is called, what goes there, or whether anything does."""
    channel = _own(request, channel_id)
    form = ChannelEditForm(request.POST, user=request.user)
    if not form.is_valid():
        messages.error(request, _("Give the channel a name, and choose what goes there."))
        return redirect("dashboard:alerts")
    wanted = form.cleaned_data
    try:
        channel_change(
            channel=channel, name=wanted["name"], kinds=wanted["kinds"], enabled=wanted["enabled"], via=_VIA,
            now=utc_now(),
        )  # fmt: skip
    except InputError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("“%(name)s” is changed.") % {"name": channel.name})
    return redirect("dashboard:alerts")


@login_required
@never_cache
@require_POST
def channel_end(request: SignedInRequest, channel_id: int) -> HttpResponse:
    """Remove a channel; a second press finds nothing."""
    channel = _own(request, channel_id)
    channel_remove(channel=channel, via=_VIA, now=utc_now())
    messages.success(request, _("“%(name)s” is removed, and its address erased.") % {"name": channel.name})
    return redirect("dashboard:alerts")


@login_required
@never_cache
@require_POST
def channel_try(request: SignedInRequest, channel_id: int) -> HttpResponse:
    """Send a test right now, and say what came of it."""
    channel = _own(request, channel_id)
    try:
        problem = channel_test(channel=channel, now=utc_now())
    except InputError as error:
        problem = error.message
    if problem:
        messages.error(
            request,
            _("The test to “%(name)s” failed. %(why)s") % {"name": channel.name, "why": said(problem)},
        )
    else:
        messages.success(request, _("The test to “%(name)s” was taken.") % {"name": channel.name})
    return redirect("dashboard:alerts")


def _own(request: SignedInRequest, channel_id: int) -> AlertChannel:
    try:
        return channel_get(user=request.user, channel_id=channel_id)
    except NotFound as error:
        raise Http404(error.message) from None


def _page(request: SignedInRequest, *, form: ChannelForm | None = None, status: int = 200) -> HttpResponse:
    labels = dict(Alert.Kind.choices)
    kinds = [(kind.value, labels[kind.value]) for kind in kinds_of(user=request.user)]
    hours = quiet_hours_of(user=request.user)
    listed = Paginator(alerts_of(user=request.user), PER_PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "page": listed,
        **page_addresses(request, listed),
        "channels": list(channels_of(user=request.user)),
        "services": AlertChannel.Service.choices,
        "kinds": kinds,
        "form": form,
        "hours": hours,
        "quiet": QuietForm(initial={"begins": hours.begins, "ends": hours.ends} if hours else None),
        "zone": zone_of(user=request.user).key,
    }
    return page_render(
        request, "dashboard/alerts.html", nav="alerts", portfolio=None, status=status, **context
    )
