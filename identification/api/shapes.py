"""How things look in answers. Whatever has an id is asked for at its own address."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers as s

from ..models import AgeClass, Category, Decision, Flank, ProcessingState, Sex, Triage, Verdict
from ..models.image import DetectionSource

ID = {"min_value": 1, "max_value": 2**63 - 1}


def id_field(**more: Any) -> s.IntegerField:
    return s.IntegerField(**ID, **more)


def ids_field(most: int, least: int = 1) -> s.ListField:
    return s.ListField(child=id_field(), min_length=least, max_length=most)


def verdict_field(**more: Any) -> s.ChoiceField:
    return s.ChoiceField(choices=Verdict.values, **more)


def said_field(**more: Any) -> s.ChoiceField:
    """A verdict, or a match of two named animals that waits for a curator."""
    return s.ChoiceField(choices=[*Verdict.values, Decision.PROPOSED], **more)


class SurveyRef(s.Serializer):
    id = s.IntegerField(source="pk")
    name = s.CharField()


class PopulationRef(s.Serializer):
    id = s.IntegerField(source="pk")
    name = s.CharField()


class StationRef(s.Serializer):
    """code: or what it is called for those who may not see places, where the survey hides its stations."""

    id = s.IntegerField(source="pk")
    code = s.CharField(source="label")


class IndividualRef(s.Serializer):
    id = s.IntegerField(source="pk")
    code = s.CharField()
    name = s.CharField(allow_blank=True)


class AccountRef(s.Serializer):
    id = s.IntegerField(source="pk")
    username = s.CharField()


class Media(s.Serializer):
    """Addresses of pictures; null where there is none (yet)."""

    def to_representation(self, row: Any) -> dict[str, str | None]:
        return {name: reverse("api-media", args=[name, row.pk]) if getattr(row, name) else None for name in self.fields}


class BoxMedia(Media):
    crop = s.CharField(allow_null=True)
    mask = s.CharField(allow_null=True)
    cutout = s.CharField(allow_null=True)
    edges = s.CharField(allow_null=True)


class PhotoMedia(Media):
    thumbnail = s.CharField(allow_null=True)
    preview = s.CharField(allow_null=True)


class Rectangle(s.Serializer):
    """Pixels of the upright photo, from its top left corner."""

    x1 = s.FloatField()
    y1 = s.FloatField()
    x2 = s.FloatField()
    y2 = s.FloatField()


class PictureOut(s.Serializer):
    """A box as a question shows it: nothing that says who it is."""

    id = s.IntegerField(source="pk")
    photo = s.IntegerField(source="image_id")
    survey = s.IntegerField(source="image.survey_id")
    station = StationRef(source="image.station", allow_null=True)
    camera = s.CharField(source="image.camera", allow_blank=True)
    captured_at = s.DateTimeField(source="image.captured_at", allow_null=True)
    flank = s.ChoiceField(choices=Flank.values)
    media = BoxMedia(source="*")


class BoxOut(PictureOut):
    category = s.ChoiceField(choices=Category.values)
    confidence = s.FloatField()
    source = s.ChoiceField(choices=DetectionSource.values)
    rectangle = Rectangle(source="*")
    species = s.CharField(allow_blank=True)
    triage = s.ChoiceField(choices=Triage.values, allow_blank=True)
    triage_score = s.FloatField(allow_null=True)
    flank_by_person = s.BooleanField()
    left_probability = s.FloatField(allow_null=True)
    usable = s.BooleanField()
    unusable_reason = s.CharField(allow_blank=True)
    individual = IndividualRef(allow_null=True)


class PhotoOut(s.Serializer):
    id = s.IntegerField(source="pk")
    survey = s.IntegerField(source="survey_id")
    name = s.CharField(help_text="The file's name, without its folders.")
    sha256 = s.CharField()
    width = s.IntegerField()
    height = s.IntegerField()
    station = StationRef(allow_null=True)
    camera = s.CharField(allow_blank=True)
    captured_at = s.DateTimeField(allow_null=True)
    flags = s.ListField(child=s.CharField())
    state = s.ChoiceField(choices=ProcessingState.values, source="work.state")
    reason_code = s.CharField(source="work.reason_code", allow_blank=True)
    reason = s.CharField(source="work.reason", allow_blank=True)
    media = PhotoMedia(source="*")
    boxes = s.SerializerMethodField()

    @extend_schema_field(s.ListField(child=s.IntegerField()))
    def get_boxes(self, row: Any) -> list[int]:
        return [box.pk for box in row.boxes]


class IndividualOut(s.Serializer):
    id = s.IntegerField(source="pk")
    code = s.CharField()
    name = s.CharField(allow_blank=True)
    population = s.IntegerField(source="population_id")
    sex = s.ChoiceField(choices=Sex.values, allow_blank=True)
    age_class = s.ChoiceField(choices=AgeClass.values, allow_blank=True)
    declared = s.BooleanField()
    retired = s.BooleanField()


class DecisionOut(s.Serializer):
    id = s.IntegerField(source="pk")
    pair = s.SerializerMethodField()
    verdict = said_field()
    version = s.IntegerField(source="edge.version", help_text="Of the pair as it stands now.")
    created_at = s.DateTimeField()

    @extend_schema_field(s.ListField(child=s.IntegerField(), min_length=2, max_length=2))
    def get_pair(self, row: Any) -> list[int]:
        return [row.edge.a_id, row.edge.b_id]


class PairOut(s.Serializer):
    """Two boxes (null: of a survey that is not yours), what stands of them, and what it comes from."""

    first = PictureOut(source="a", allow_null=True)
    second = PictureOut(source="b", allow_null=True)
    verdict = s.SerializerMethodField()
    version = s.SerializerMethodField()
    decision = s.SerializerMethodField()
    may_undo = s.BooleanField()

    @extend_schema_field(s.CharField(allow_blank=True))
    def get_verdict(self, row: Any) -> str:
        return row.edge.verdict if row.edge is not None else ""

    @extend_schema_field(s.IntegerField())
    def get_version(self, row: Any) -> int:
        return row.edge.version if row.edge is not None else 0

    @extend_schema_field(s.IntegerField(allow_null=True))
    def get_decision(self, row: Any) -> int | None:
        return row.decision.pk if row.decision is not None else None


class CountOut(s.Serializer):
    """How many it was."""

    count = s.IntegerField()


class WordsOut(s.Serializer):
    """What happened, in a sentence."""

    words = s.CharField(allow_blank=True)
