"""Merging and splitting animals: choose photos, see what follows, do it, take it back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from .. import permissions
from ..errors import SpotIDError
from ..models import Decision, Detection, Individual, Sex, Verdict
from ..permissions import Action
from ..selectors.conflicts import MOST_SETTLED
from ..selectors.consequences import pairs_shown
from ..selectors.curation import (
    animals_found,
    animals_likely,
    animals_shown,
    decisions_together,
    pair_suggested,
    photos_of,
    photos_to_match,
    photos_visible,
    surveys_seen,
)
from ..selectors.graph import component_of, component_state
from ..services.curation import (
    MERGED,
    PROPOSED,
    SETTLED,
    SPLIT,
    Curated,
    CurationPreview,
    batch_undo,
    conflict_settle,
    individual_split,
    individuals_merge,
    merge_preview,
    split_preview,
)
from ..services.joins import CONFIRMED, REFUSED
from .access import (
    account,
    back,
    curated_of,
    may_everywhere,
    number,
    page_of,
    query_without,
    undone_as_curator,
)

ANIMALS_PER_PAGE = 24
PHOTOS_PER_SIDE = 60
PART_SHOWN = 24
# Whose photos are chosen when two animals are merged, in forms and addresses.
_SIDES = ("mine", "theirs")


@dataclass(frozen=True)
class PartShown:
    """A group that a merge or split leaves: its first photos, how many it has, and in words who stands for it."""

    photos: list[Detection]
    number: int
    words: str

    @property
    def more(self) -> int:
        return self.number - len(self.photos)


@dataclass(frozen=True)
class StepDone:
    """A step that was just taken, and can be taken back."""

    decision: Decision
    words: str


_DONE = {
    MERGED: gettext_lazy("Merged"),
    PROPOSED: gettext_lazy("Proposed"),
    SPLIT: gettext_lazy("Split"),
    SETTLED: gettext_lazy("Settled"),
    CONFIRMED: gettext_lazy("Joined"),
    REFUSED: gettext_lazy("Refused"),
}
_SEXES = {Sex.FEMALE: gettext_lazy("female"), Sex.MALE: gettext_lazy("male")}


@require_POST
def split(request: HttpRequest, individual_id: int) -> HttpResponse:
    """Photos of the animal were ticked: show what a split does, do it, or go and merge with them."""
    individual = curated_of(request, individual_id)
    chosen = _ticked(request.POST.getlist("box"), [individual], request)
    if request.POST.get("do") == "merge":
        boxes = urlencode([("box", row.pk) for row in chosen])
        return redirect(reverse("individual-merge", args=[individual.pk]) + (f"?{boxes}" if boxes else ""))
    _may_curate(request, chosen)
    if request.POST.get("do") in {"split", "keep"}:
        try:
            done = individual_split(
                acting_user=account(request),
                detections=chosen,
                keep_together=request.POST["do"] == "keep",
                expected=request.POST.get("state", ""),
            )
        except SpotIDError as refused:
            messages.error(request, str(refused))
        else:
            return _done(individual, done)
    apart = split_preview(detections=chosen)
    if apart.refused:
        messages.error(request, apart.refused)
        return redirect("individual-detail", individual.pk)
    # Two groups are two whole sides: nothing is left to keep together.
    whole = len(apart.parts) == 2
    kept = CurationPreview() if whole else split_preview(detections=chosen, keep_together=True)
    context = _context(request, chosen, apart)
    context |= {
        "individual": individual,
        "apart": apart,
        "kept": kept if kept.matches and not kept.refused else None,
        "kept_parts": _parts(request, kept),
        "kept_refused": kept.refused,
    }
    return render(request, "identification/individual_split.html", context)


def merge(request: HttpRequest, individual_id: int) -> HttpResponse:
    """GET: choose the other animal and photos of both. POST: what follows, and with `do` the merge itself.

    Who reviews but does not curate every survey concerned proposes it to a curator.
    """
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    individual = curated_of(request, individual_id, Action.DECIDE)
    form = request.POST if request.method == "POST" else request.GET
    chosen = number(form.get("with"))
    turned = {side: number(form.get(f"turn_{side}")) for side in _SIDES}
    if chosen is None:
        return _choose_other(request, individual)
    other = curated_of(request, chosen, Action.DECIDE)
    proposes = not all(may_everywhere(request, animal, Action.CURATE) for animal in (individual, other))
    if other.pk == individual.pk or other.population_id != individual.population_id:
        raise Http404("No such animal to merge with.")
    ticked = _ticked(form.getlist("box"), [individual, other], request)
    if request.method == "POST" and ticked and not any(turned.values()):
        _may_curate(request, ticked, Action.DECIDE if proposes else Action.CURATE)
        if form.get("do") == "merge":
            try:
                done = individuals_merge(
                    acting_user=account(request), detections=ticked, expected=form.get("state", ""), propose=proposes
                )
            except SpotIDError as refused:
                messages.error(request, str(refused))
            else:
                if proposes:
                    messages.success(request, gettext("A curator joins the two animals, or refuses it."))
                ticked[0].refresh_from_db()
                return _done(ticked[0].individual or individual, done)
        preview = merge_preview(detections=ticked)
        if preview.refused and not preview.pairs:
            messages.error(request, preview.refused)
        else:
            context = _context(request, ticked, preview) | {"individual": individual, "other": other}
            context |= {"unlike": _unlike(individual, other), "proposes": proposes}
            context["forbidding"] = pairs_shown(user=account(request), pairs=preview.pairs[:20])
            return render(request, "identification/individual_merge.html", context)
    pages = [turned[side] or number(form.get(side)) or 1 for side in _SIDES]
    return _choose_photos(request, (individual, other), ticked, pages)


def _choose_other(request: HttpRequest, individual: Individual) -> HttpResponse:
    search = request.GET.get("q", "").strip()[:120]
    user = account(request)
    context = {"individual": individual, "search": search, "boxes": _boxes(request)}
    if search:
        page = page_of(request, animals_found(user=user, individual=individual, search=search), ANIMALS_PER_PAGE)
        animals = animals_shown(user=user, individuals=page.object_list)
        context |= {"page": page, "query": query_without(request, "page")}
    else:
        animals = animals_likely(user=user, individual=individual)
    context["animals"] = animals
    return render(request, "identification/individual_merge_with.html", context)


def _choose_photos(
    request: HttpRequest, animals: tuple[Individual, Individual], ticked: list[Detection], pages: list[int]
) -> HttpResponse:
    """A page of photos of each; those that are ticked on other pages are carried along."""
    user = account(request)
    photos = [photos_to_match(user=user, individual=animal) for animal in animals]
    chosen = {row.pk for row in ticked}
    if request.method != "POST":
        some = [rows.filter(pk__in=chosen) for rows in photos]
        chosen |= set(pair_suggested(*(own if own.exists() else rows for own, rows in zip(some, photos, strict=True))))
    sides = [
        {"name": name, "animal": animal, "page": Paginator(rows, PHOTOS_PER_SIDE).get_page(page)}
        for name, animal, rows, page in zip(_SIDES, animals, photos, pages, strict=True)
    ]
    shown = {row.pk for side in sides for row in side["page"].object_list}  # type: ignore[attr-defined]
    elsewhere = photos_of(user=user, detections=chosen - shown)
    context = {"individual": animals[0], "other": animals[1], "sides": sides, "chosen": chosen}
    return render(request, "identification/individual_merge_photos.html", context | {"elsewhere": elsewhere.values()})


@require_POST
def settle(request: HttpRequest) -> HttpResponse:
    """One key on the conflicts page: say of its weakest links that they are no matches, or that a refusal was wrong."""
    user = account(request)
    if not permissions.surveys_for(user, Action.CURATE).exists():
        raise PermissionDenied(gettext("Conflicts are settled by curators."))
    pairs = {}
    for token in request.POST.getlist("pair")[:MOST_SETTLED]:
        a, b, version = (number(part) for part in [*token.split("-"), "", "", ""][:3])
        if a is None or b is None or version is None:
            raise Http404("No such pair.")
        pairs[(a, b)] = version
    ends = {pk for pair in pairs for pk in pair}
    if permissions.detections_for(user).filter(pk__in=ends).count() != len(ends):
        raise Http404("No such pair.")
    if ends and not permissions.may_for_all(user, Action.CURATE, surveys_seen(ends)):
        raise PermissionDenied(gettext("A photo of another survey is concerned, which you do not curate."))
    verdict = Verdict.MATCH if request.POST.get("verdict") == "match" else Verdict.NO_MATCH
    try:
        done = conflict_settle(acting_user=user, pairs=pairs, verdict=verdict)
    except SpotIDError as refused:
        messages.error(request, str(refused))
        return redirect("conflict-list")
    page = number(request.POST.get("page")) or 1
    return redirect(f"{reverse('conflict-list')}?done={done.decisions[0].pk}&page={page}")


@require_POST
def undo_together(request: HttpRequest, decision_id: int) -> HttpResponse:
    """Take everything back that was said in the same step as the decision."""
    decision = get_object_or_404(Decision, pk=decision_id, undoes__isnull=True)
    together = decisions_together(decision)
    any_user = undone_as_curator(request, together)
    try:
        count = batch_undo(acting_user=account(request), decisions=together, any_user=any_user)
    except SpotIDError as refused:
        messages.error(request, str(refused))
    else:
        if count:
            words = ngettext(
                "Taken back: %(number)s decision. Everything is as it was before.",
                "Taken back: %(number)s decisions. Everything is as it was before.",
                count,
            )
            messages.success(request, words % {"number": count})
        else:
            messages.info(request, gettext("That was taken back already."))
    return back(request, "individual-list")


def step_done(request: HttpRequest) -> StepDone | None:
    """The step that the page's address says was just taken, while it stands and the account may take it back."""
    wanted = number(request.GET.get("done"))
    if wanted is None:
        return None
    rows = Decision.objects.select_related("edge__a__image__survey", "edge__b__image__survey")
    decision = rows.filter(pk=wanted, note__in=_DONE, undoes__isnull=True, undone_by__isnull=True).first()
    if decision is None:
        return None
    try:
        undone_as_curator(request, [decision])
    except (Http404, PermissionDenied):
        return None
    return StepDone(decision, str(_DONE[decision.note]))


def _done(individual: Individual, done: Curated) -> HttpResponseRedirect:
    return redirect(f"{reverse('individual-detail', args=[individual.pk])}?done={done.decisions[0].pk}")


def _unlike(one: Individual, other: Individual) -> str:
    if one.sex and other.sex and one.sex != other.sex:
        return gettext(
            "%(one)s is said to be %(sex)s, %(other)s %(other_sex)s. Both cannot be right if they are one animal."
        ) % {"one": one, "sex": _SEXES[Sex(one.sex)], "other": other, "other_sex": _SEXES[Sex(other.sex)]}
    return ""


def _ticked(boxes: Iterable[str], individuals: Collection[Individual], request: HttpRequest) -> list[Detection]:
    wanted = [pk for pk in map(number, boxes) if pk is not None][:1000]
    rows = permissions.detections_for(account(request)).filter(pk__in=wanted, individual__in=individuals)
    return list(rows.select_related("image__survey__population").order_by("pk"))


def _boxes(request: HttpRequest) -> list[int]:
    return [pk for pk in map(number, request.GET.getlist("box")) if pk is not None][:100]


def _may_curate(request: HttpRequest, chosen: list[Detection], action: Action = Action.CURATE) -> None:
    """Of a contradictory group more may be joined than the animal's own photos."""
    surveys = surveys_seen(component_of([row.pk for row in chosen])) if chosen else []
    if chosen and not permissions.may_for_all(account(request), action, surveys):
        raise PermissionDenied(gettext("These photos are joined with some of another survey, which you do not curate."))


def _context(request: HttpRequest, chosen: list[Detection], preview: CurationPreview) -> dict[str, Any]:
    return {
        "chosen": chosen,
        "preview": preview,
        "parts": _parts(request, preview),
        "state": component_state([row.pk for row in chosen]),
    }


def _parts(request: HttpRequest, preview: CurationPreview) -> list[PartShown]:
    user = account(request)
    seen = photos_visible(user=user, detections=[pk for part in preview.parts for pk in part.photos])
    own = [[pk for pk in seen if pk in wanted] for wanted in (set(part.photos) for part in preview.parts)]
    rows = photos_of(user=user, detections=[pk for photos in own for pk in photos[:PART_SHOWN]])
    stood = {part.individual.pk for part in preview.before if part.individual is not None}
    shown = []
    for part, visible in zip(preview.parts, own, strict=True):
        alone = len(part.photos) == 1
        if part.individual is None and alone:
            words = gettext("stands alone, without a code, until it is matched or declared an animal")
        elif part.individual is None:
            words = gettext("still contradict each other: see Conflicts")
        elif part.new:
            words = ngettext("gets a new code", "get a new code", len(part.photos))
        else:
            name = f"{part.individual.code} “{part.individual.name}”" if part.individual.name else part.individual.code
            if part.individual.pk in stood:
                words = ngettext("keeps %(code)s", "keep %(code)s", len(part.photos))
            else:
                words = ngettext("returns to %(code)s", "return to %(code)s", len(part.photos))
            words %= {"code": name}
        shown.append(PartShown([rows[pk] for pk in visible[:PART_SHOWN]], len(visible), words))
    return shown
