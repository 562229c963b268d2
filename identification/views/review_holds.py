"""The page of a question says that it is still open, and that it was left."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from ..matching.graph import ordered
from ..permissions import Action, detections_for
from ..services.review_leases import LEASE_SECONDS, LEASES_MOST, questions_lease, questions_release
from .access import account, number, reads_rights_once, survey_of


@require_POST
@reads_rights_once
def hold(request: HttpRequest, survey_id: int) -> JsonResponse:
    """Renew the leases of the posted pairs (`pair=12-34`, as often as wanted), or end them where `release` is sent.

    JSON. held: the pairs that are this reviewer's now; seconds: for how long.
    """
    survey = survey_of(request, survey_id, Action.DECIDE)
    user = account(request)
    said = [text.partition("-") for text in request.POST.getlist("pair")[:LEASES_MOST]]
    numbers = [(number(a), number(b)) for a, _, b in said]
    pairs = [(a, b) for a, b in numbers if a is not None and b is not None]
    visible = set(
        detections_for(user)
        .filter(pk__in={pk for pair in pairs for pk in pair}, image__survey__population=survey.population_id)
        .values_list("pk", flat=True)
    )
    pairs = [pair for pair in pairs if set(pair) <= visible]
    if request.POST.get("release"):
        questions_release(user=user, survey=survey, pairs=pairs)
        return JsonResponse({"held": [], "seconds": 0})
    got = questions_lease(user=user, survey=survey, pairs=pairs)
    return JsonResponse({"held": ["-".join(map(str, ordered(pair))) for pair in got], "seconds": LEASE_SECONDS})
