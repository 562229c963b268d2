"""Saying of chosen boxes whether they show the population's species."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..models import Detection, Triage
from ..permissions import Action
from ..selectors.triage import in_confirmed_matches
from ..services.triage import detections_triage
from .base import RoomAdmin, account
from .confirm import ask, confirmed
from .pictures import gallery

_SHOWN = 60


class TriageActions(RoomAdmin):
    """Bulk actions on boxes; those of another species are asked about first."""

    @admin.action(description=_("Species: the population's"), permissions=["curate"])
    def triage_wanted(self, request: HttpRequest, chosen: QuerySet[Detection]) -> None:
        self._triage(request, chosen, Triage.WANTED)

    @admin.action(description=_("Species: undecided (restore)"), permissions=["curate"])
    def triage_undecided(self, request: HttpRequest, chosen: QuerySet[Detection]) -> None:
        self._triage(request, chosen, Triage.UNDECIDED)

    @admin.action(description=_("Species: another one, takes no part …"), permissions=["curate"])
    def triage_other(self, request: HttpRequest, chosen: QuerySet[Detection]) -> HttpResponse | None:
        if not self.allowed(request, chosen, Action.CURATE):
            return None
        held = len(in_confirmed_matches(chosen.values_list("pk", flat=True)))
        if confirmed(request):
            self._triage(request, chosen, Triage.OTHER)
            return None
        words = ngettext(
            "%(n)s of them stands in confirmed matches. Take them out of their individuals first.",
            "%(n)s of them stand in confirmed matches. Take them out of their individuals first.",
            held,
        )
        return ask(
            self,
            request,
            action="triage_other",
            title=ngettext(
                "Put %(n)s box aside as another species", "Put %(n)s boxes aside as another species", len(chosen)
            )
            % {"n": len(chosen)},
            button=gettext("Put aside"),
            lines=[gettext("They take no part in matching, review, export and training. They keep everything.")],
            warning=words % {"n": held} if held else "",
            pictures=gallery(chosen[:_SHOWN]),
        )

    def _triage(self, request: HttpRequest, chosen: QuerySet[Detection], triage: str) -> None:
        if not self.allowed(request, chosen, Action.CURATE):
            return

        def change() -> str:
            done = detections_triage(acting_user=account(request), detections=chosen, triage=triage)
            words = ngettext(
                "%(n)s box changed; what was so already stayed.",
                "%(n)s boxes changed; what was so already stayed.",
                done.changed,
            )
            return words % {"n": done.changed}

        self.told(request, change)
