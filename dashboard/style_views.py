"""What an owner does about a trader's change of style: take it for normal, or choose what it does (BEY-7)."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.models import Portfolio
from core.clock import utc_now
from core.errors import InputError, NotFound
from dashboard.page import SignedInRequest, owner_page
from dashboard.selectors import follow_get
from engine.style import alarms_standing, style_action_set, style_dismiss


@owner_page
@require_POST
def follow_style(request: SignedInRequest, portfolio: Portfolio, follow_id: int) -> HttpResponse:
    """Dismiss the changes of style that stand ("dismiss"), or choose what one does ("warn", "block")."""
    wanted = request.POST.get("do", "")
    try:
        follow = follow_get(portfolio=portfolio, follow_id=follow_id)
        if wanted == "dismiss":
            for alarm in alarms_standing(follows=[follow]).get(follow.pk, ()):
                style_dismiss(follow=follow, alarm_id=alarm.pk, now=utc_now())
            messages.success(request, f"Noted: this is the new normal of {follow.trader.name}.")
        else:
            style_action_set(follow=follow, action=wanted, now=utc_now())
            messages.success(request, f"{follow.trader.name}: {follow.get_style_action_display().lower()}.")
    except NotFound as error:
        raise Http404(error.message) from None
    except InputError as error:
        messages.error(request, error.message)
    return redirect("dashboard:traders", portfolio.pk)
