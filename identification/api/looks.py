"""Looks back and beside: answers to look at again, photos that stand alone, and what lies beside a pair."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from ..models import Survey, User
from ..permissions import Action
from ..selectors.beside import beside
from ..selectors.ghosts import PER_PAGE, ghosts
from ..selectors.review_doubts import doubtful_answers
from ..selectors.spots import pair_spots
from ..views.access import survey_of
from .base import ApiView, operation
from .finding import pair_of
from .paging import Page, PageQuery, by_place
from .shapes import BoxOut, PairOut, PictureOut, id_field, said_field


class DoubtOut(s.Serializer):
    pair = PairOut(source="shown")


class Again(ApiView):
    @operation("Answers that are worth a second look", out=DoubtOut, many=True)
    def get(self, request: Any, survey_id: int) -> Any:
        """Say the same again, or the opposite, as an ordinary decision at the version that is given."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        return doubtful_answers(user=self.user, survey=survey)


class AloneOut(s.Serializer):
    box = BoxOut(source="detection")
    probability = s.FloatField(help_text="That one of its open questions is a match.")


class _Ghosts:
    """Pages of the selector as a list that is cut by place."""

    def __init__(self, user: User, survey: Survey) -> None:
        self.user, self.survey = user, survey

    def __getitem__(self, wanted: slice) -> list[Any]:
        rows: list[Any] = []
        start, stop = wanted.start or 0, wanted.stop
        for number in range(start // PER_PAGE + 1, (stop - 1) // PER_PAGE + 2):
            page = ghosts(user=self.user, survey=self.survey, number=str(number))
            if page.page.number != number:  # type: ignore[attr-defined]
                break
            rows += page.rows
        first = start % PER_PAGE
        return rows[first : first + stop - start]


class Alone(ApiView):
    @operation("Photos that stand alone, the likeliest missed match first", out=AloneOut, paged=True, query=PageQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        survey = survey_of(request, survey_id, Action.DECIDE)
        return by_place(_Ghosts(self.user, survey), self.asked())


class PairQuery(s.Serializer):
    anchor = id_field()
    candidate = id_field()


class SpotOut(s.Serializer):
    """Fractions of the crops, from their top left corner."""

    a = s.ListField(child=s.FloatField(), min_length=2, max_length=2)
    b = s.ListField(child=s.FloatField(), min_length=2, max_length=2)
    weight = s.FloatField()


class SpotsOut(s.Serializer):
    spots = SpotOut(many=True)
    found = s.IntegerField()
    words = s.CharField()


class Spots(ApiView):
    @operation("Matched spots of a pair", out=SpotsOut, query=PairQuery)
    def get(self, request: Any, survey_id: int) -> Any:
        survey = survey_of(request, survey_id, Action.DECIDE)
        first, second = pair_of(self.user, survey, **self.asked())
        return pair_spots(first=first, second=second)


class FrameOut(s.Serializer):
    photo = s.IntegerField(source="image.pk")
    box = s.IntegerField(source="detection.pk", default=None, allow_null=True)
    apart = s.CharField(allow_blank=True)
    current = s.BooleanField()


class GalleryOut(s.Serializer):
    title = s.CharField()
    photos = PictureOut(many=True)
    more = s.IntegerField()


class NotesOut(s.Serializer):
    box = s.IntegerField(source="detection.pk")
    frames = FrameOut(many=True)
    galleries = GalleryOut(many=True)


class AnswerOut(s.Serializer):
    verdict = said_field(source="decision.verdict")
    created_at = s.DateTimeField(source="decision.created_at")
    who = s.CharField(allow_blank=True)
    taken_back = s.BooleanField()
    other = s.IntegerField(source="other.pk", default=None, allow_null=True)


class BesideOut(s.Serializer):
    first = NotesOut()
    second = NotesOut()
    kilometres = s.FloatField(allow_null=True, help_text="For those who may know both places.")
    same_station = s.BooleanField()
    answers = AnswerOut(many=True)


class Beside(ApiView):
    @operation("What lies beside a pair", out=BesideOut, query=PairQuery)
    def get(self, request: Any, survey_id: int) -> Any:
        """Other frames, known photos, earlier answers; of a pair that is a check, nothing that gives it away."""
        survey = survey_of(request, survey_id, Action.DECIDE)
        first, second = pair_of(self.user, survey, **self.asked())
        return beside(user=self.user, survey=survey, first=first, second=second)
