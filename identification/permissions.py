"""Who may see and do what. Pages, admin, downloads and media all ask here, and nowhere else.

The rules are the matrix of docs/permissions.md. What is not listed is refused. An object of a survey that the account
has no membership of, neither of the survey itself nor of its population, is answered as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from hashlib import sha256

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext

from .models import Detection, Image, Individual, Membership, Population, Role, Survey, User
from .prepared import Given, Prepared

Account = User | AnonymousUser


class Action(StrEnum):
    """What can be asked of a survey."""

    SEE = "see"
    SEE_ORIGINAL = "see_original"
    SEE_PEOPLE = "see_people"
    SEE_PEOPLE_BLURRED = "see_people_blurred"
    SEE_PLACES = "see_places"
    SEE_CANDIDATES = "see_candidates"
    DECIDE = "decide"
    UNDO_ANY = "undo_any"
    CURATE = "curate"
    INGEST = "ingest"
    EXPORT = "export"
    EXPORT_PLACES = "export_places"
    CHOOSE_PLACES = "choose_places"
    MANAGE_MEMBERS = "manage_members"


_REVIEWER = frozenset({Role.REVIEWER, Role.CURATOR, Role.ADMINISTRATOR})
_CURATOR = frozenset({Role.CURATOR, Role.ADMINISTRATOR})
_ROLES: dict[Action, frozenset[Role]] = {
    Action.SEE: frozenset(Role),
    Action.SEE_ORIGINAL: _CURATOR,
    Action.SEE_PEOPLE: _CURATOR,
    Action.SEE_PEOPLE_BLURRED: _REVIEWER,
    Action.SEE_PLACES: _CURATOR,
    Action.SEE_CANDIDATES: _REVIEWER,
    Action.DECIDE: _REVIEWER,
    Action.UNDO_ANY: _CURATOR,
    Action.CURATE: _CURATOR,
    Action.INGEST: _CURATOR,
    Action.EXPORT: _CURATOR,
    Action.EXPORT_PLACES: _CURATOR,
    Action.CHOOSE_PLACES: frozenset({Role.ADMINISTRATOR}),
    Action.MANAGE_MEMBERS: _CURATOR,
}
_NEEDS_PLACES = frozenset({Action.SEE_PLACES, Action.EXPORT_PLACES})
# Of the account of a request under way: the surveys in which it may take each action, with their populations.
_read: ContextVar[tuple[int, dict[Action, dict[int, int]]] | None] = ContextVar("rights_read", default=None)


def _memberships_given() -> QuerySet[Membership, tuple[int | None, int | None, str, bool]]:
    own = Membership.objects.filter(user=Given("user")).order_by()
    return (
        own.filter(survey__isnull=False)
        .values_list("survey_id", "survey__population_id", "role", "may_see_places")
        .union(own.values_list("population__surveys", "population_id", "role", "may_see_places"))
    )


_MEMBERSHIPS = Prepared(_memberships_given)


def is_administrator(user: Account) -> bool:
    """Whether the account administers the whole installation. Staff alone is not enough."""
    return bool(user.is_active and user.is_superuser)


@contextmanager
def rights_read_once(user: Account) -> Iterator[None]:
    """Read what the account may do once, in one query, for all that is asked of it inside: a request that asks often.

    What changes inside is not seen until after it. An administrator's rights are not read from memberships at all.
    """
    if not user.is_authenticated or not user.is_active or is_administrator(user):
        yield
        return
    found: dict[Action, dict[int, int]] = {action: {} for action in Action}
    for survey, population, role, places in _MEMBERSHIPS(user=user.pk):
        if survey is None or population is None:
            continue
        for action, roles in _ROLES.items():
            if role in roles and (places or action not in _NEEDS_PLACES):
                found[action][survey] = population
    before = _read.set((user.pk, found))
    try:
        yield
    finally:
        _read.reset(before)


def surveys_read(user: Account, action: Action) -> frozenset[int] | None:
    """The surveys for an action where that is known without a query; None where it is not."""
    return _ids_read(user, action) if user.is_authenticated and user.is_active else None


def never(user: Account, action: Action) -> bool:
    """Whether it is known without a query that the account may take the action in no survey."""
    if not user.is_authenticated or not user.is_active:
        return True
    return _ids_read(user, action) == frozenset()


def _ids_read(user: Account, action: Action) -> frozenset[int] | None:
    """The surveys for an action where the rights of the account are read already."""
    read = _read.get()
    return frozenset(read[1][action]) if read is not None and read[0] == user.pk else None


def _memberships(user: Account, action: Action) -> QuerySet[Membership]:
    """The memberships of the account that give it the action. Each counts by itself: what one gives, no other takes."""
    memberships = Membership.objects.filter(user=user.pk, role__in=_ROLES[action])
    return memberships.filter(may_see_places=True) if action in _NEEDS_PLACES else memberships


def rights_digest(user: User) -> str:
    """Changes with everything that gives the account a right: what was answered before may then be too much."""
    rows = Membership.objects.filter(user=user).order_by("pk")
    said = list(rows.values_list("survey", "population", "role", "may_see_places"))
    return sha256(repr((user.is_active, user.is_superuser, said)).encode()).hexdigest()


def surveys_for(user: Account, action: Action = Action.SEE) -> QuerySet[Survey]:
    """The surveys in which the account may take the action."""
    if not user.is_authenticated or not user.is_active:
        return Survey.objects.none()
    if is_administrator(user):
        return Survey.objects.all()
    if (ids := _ids_read(user, action)) is not None:
        return Survey.objects.filter(pk__in=ids)
    memberships = _memberships(user, action)
    return Survey.objects.filter(
        Q(pk__in=memberships.filter(survey__isnull=False).values("survey_id"))
        | Q(population__in=memberships.filter(population__isnull=False).values("population_id"))
    )


def survey_ids_for(user: Account, action: Action, population_id: int) -> frozenset[int]:
    """The surveys of a population in which the account may take the action."""
    read = _read.get()
    if read is not None and read[0] == user.pk and user.is_authenticated and user.is_active:
        return frozenset(survey for survey, population in read[1][action].items() if population == population_id)
    return frozenset(surveys_for(user, action).filter(population=population_id).values_list("pk", flat=True))


def surveys_nameless(user: Account) -> frozenset[int]:
    """Ids of the surveys in which names of stations and files are hidden from the account."""
    hiding = Survey.objects.filter(hide_stations=True).order_by()
    if not is_administrator(user):
        hiding = hiding.exclude(pk__in=surveys_for(user, Action.SEE_PLACES).values("pk"))
        return frozenset(hiding.values_list("pk", flat=True))
    return frozenset()


def may(user: Account, action: Action, survey: Survey) -> bool:
    if user.is_authenticated and user.is_active and (ids := _ids_read(user, action)) is not None:
        return survey.pk in ids
    return surveys_for(user, action).filter(pk=survey.pk).exists()


def require(user: Account, action: Action, survey: Survey) -> None:
    """Raise PermissionDenied unless the account may take the action in the survey."""
    if not may(user, action, survey):
        words = gettext("You may not do this in %(survey)s: it takes the role “%(role)s”.")
        if action in _NEEDS_PLACES:
            words = gettext("You may not do this in %(survey)s: it takes “%(role)s” and the permission to see places.")
        least = next(role for role in Role if role in _ROLES[action])
        raise PermissionDenied(words % {"survey": survey.name, "role": least.label})


def _seen_and_hidden(user: Account) -> tuple[frozenset[int], frozenset[int], frozenset[int]] | None:
    """The visible surveys, those of which people are not for the account, and those of which it may not see them
    blurred either, where its rights are read."""
    seen, people = _ids_read(user, Action.SEE), _ids_read(user, Action.SEE_PEOPLE)
    blurred = _ids_read(user, Action.SEE_PEOPLE_BLURRED)
    if seen is None or people is None or blurred is None or not (user.is_authenticated and user.is_active):
        return None
    return seen, seen - people, seen - blurred


def _not_for(user: Account, action: Action) -> QuerySet[Survey]:
    return Survey.objects.exclude(pk__in=surveys_for(user, action).values("pk"))


def images_for(user: Account) -> QuerySet[Image]:
    """The photos the account may see. Photos of people are for curators and administrators, blurred for reviewers
    (`people_blurred`).

    Photos that nothing has looked at yet (no `detector`) are for curators alone: nobody knows whom they show.
    """
    if (read := _seen_and_hidden(user)) is not None:
        seen, hidden, withheld = read
        photos = Image.objects.filter(survey__in=seen)
        photos = photos.exclude(detector="", survey__in=hidden) if hidden else photos
        return photos.exclude(has_person=True, survey__in=withheld) if withheld else photos
    photos = Image.objects.filter(survey__in=surveys_for(user))
    if is_administrator(user):
        return photos
    return photos.exclude(detector="", survey__in=_not_for(user, Action.SEE_PEOPLE)).exclude(
        has_person=True, survey__in=_not_for(user, Action.SEE_PEOPLE_BLURRED)
    )


def people_blurred(user: Account, image: Image) -> bool:
    """Whether the account, which may see the photo, sees it blurred for the people on it."""
    return image.has_person and not may(user, Action.SEE_PEOPLE, image.survey)


def print_covered(user: Account, survey: Survey) -> bool:
    """Whether the account sees the survey's photos without the strips on which its cameras print."""
    return bool(survey.print_top or survey.print_bottom) and not may(user, Action.SEE_PLACES, survey)


def images_seen(user: Account, images: Iterable[Image]) -> frozenset[int]:
    """Of these rows the ids of those that `images_for` holds; no query where the account's rights are read already."""
    rows = list(images)
    if (read := _seen_and_hidden(user)) is None:
        return frozenset(images_for(user).filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True))
    seen, hidden, withheld = read
    return frozenset(
        row.pk
        for row in rows
        if row.survey_id in seen
        and not (row.survey_id in hidden and not row.detector)
        and not (row.survey_id in withheld and row.has_person)
    )


def detections_for(user: Account) -> QuerySet[Detection]:
    """The boxes the account may see. A crop of an animal stays visible where the whole photo shows a person."""
    if (read := _seen_and_hidden(user)) is not None:
        seen, hidden, _ = read
        boxes = Detection.objects.filter(image__survey__in=seen)
        return boxes.exclude(category="person", image__survey__in=hidden) if hidden else boxes
    visible = Detection.objects.filter(image__survey__in=surveys_for(user))
    return visible.exclude(
        category="person",
        image__survey__in=Survey.objects.exclude(pk__in=surveys_for(user, Action.SEE_PEOPLE).values("pk")),
    )


def detections_given() -> QuerySet[Detection]:
    """`detections_for`, for a prepared query that is asked with `rights_given`."""
    boxes = Detection.objects.filter(image__survey__any_of=Given("seen"))
    return boxes.exclude(category="person", image__survey__any_of=Given("hidden"))


def rights_given(user: Account) -> dict[str, list[int]] | None:
    """The values for `detections_given` where the account's rights are read; None where they are not."""
    read = _seen_and_hidden(user)
    return None if read is None else {"seen": list(read[0]), "hidden": list(read[1])}


def populations_for(user: Account) -> QuerySet[Population]:
    if is_administrator(user):
        return Population.objects.all()
    return Population.objects.filter(surveys__in=surveys_for(user)).distinct()


def individuals_for(user: Account) -> QuerySet[Individual]:
    """Individuals of which the account may see at least one photo."""
    if is_administrator(user):
        return Individual.objects.all()
    return Individual.objects.filter(
        pk__in=Detection.objects.filter(image__survey__in=surveys_for(user)).values("individual_id")
    )


def curators_of(survey: Survey) -> QuerySet[User]:
    """The active accounts with a membership, of the survey or its population, that lets them curate the survey."""
    reaching = memberships_reaching(survey).filter(user=OuterRef("pk"), role__in=_CURATOR)
    return User.objects.filter(Exists(reaching), is_active=True)


def memberships_reaching(survey: Survey) -> QuerySet[Membership]:
    """The memberships of the survey itself and of its population."""
    return Membership.objects.filter(Q(survey=survey) | Q(population=survey.population_id))


def may_for_all(user: Account, action: Action, surveys: Iterable[Survey]) -> bool:
    """Whether the account may take the action in each of the surveys. Of no survey at all it may not."""
    wanted = {survey.pk for survey in surveys}
    return bool(wanted) and wanted <= set(surveys_for(user, action).values_list("pk", flat=True))


def populations_managed_by(user: Account) -> QuerySet[Population]:
    """The populations whose memberships the account may give: of all surveys, so only who has the right in all to come.

    A curator of each single survey of a population is not one of them.
    """
    if not user.is_authenticated or not user.is_active:
        return Population.objects.none()
    if is_administrator(user):
        return Population.objects.all()
    memberships = _memberships(user, Action.MANAGE_MEMBERS).filter(population__isnull=False)
    return Population.objects.filter(pk__in=memberships.values("population_id"))


def memberships_managed_by(user: Account) -> QuerySet[Membership]:
    """The memberships that pages for members show. Which of them it changes, `member_may_be_changed_by` says."""
    surveys = surveys_for(user, Action.MANAGE_MEMBERS)
    return Membership.objects.filter(
        Q(survey__in=surveys) | Q(population__in=Population.objects.filter(surveys__in=surveys))
    )


def roles_given_by(user: Account, *, survey: Survey | None = None, population: Population | None = None) -> list[Role]:
    """The roles that the account may give in a survey, or in a whole population: its own and those below."""
    if is_administrator(user):
        return list(Role)
    if not user.is_authenticated or not user.is_active:
        return []
    if survey is not None:
        own = memberships_reaching(survey).filter(user=user)
    else:
        own = Membership.objects.filter(user=user, population=population, population__isnull=False)
    order = list(Role)
    highest = max((order.index(Role(role)) for role in own.values_list("role", flat=True)), default=-1)
    return order[: highest + 1] if highest >= 0 and order[highest] in _ROLES[Action.MANAGE_MEMBERS] else []


def places_count(role: str) -> bool:
    """Whether a grant of places has an effect in this role."""
    return role in _ROLES[Action.SEE_PLACES]


def may_give_places(user: Account, *, survey: Survey | None = None, population: Population | None = None) -> bool:
    """Whether the account may let others see the places of a survey, or of a whole population: who sees them itself."""
    if survey is not None:
        return may(user, Action.SEE_PLACES, survey)
    if is_administrator(user):
        return True
    return (
        user.is_authenticated
        and user.is_active
        and _memberships(user, Action.SEE_PLACES).filter(population=population, population__isnull=False).exists()
    )


def member_may_be_changed_by(user: Account, membership: Membership, *, given: Collection[Role] | None = None) -> bool:
    """Whether the account may give, change or take this membership. given: `roles_given_by` of its reach, if at hand.

    Curators manage the members of their surveys, never their own membership and never above their own role. What
    reaches a whole population is managed by those who curate the whole population.
    """
    if is_administrator(user):
        return True
    if given is None:
        given = roles_given_by(user, survey=membership.survey, population=membership.population)
    return membership.user_id != user.pk and membership.role in given
