"""Photos and the boxes on them."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from ..naming import names_hidden
from .survey import EncounterEvent, Station, Survey


class CaptureTimeSource(models.TextChoices):
    EXIF = "exif", _("EXIF")
    NAME = "name", _("File name")
    IMPORTED = "imported", _("Imported data")
    UNKNOWN = "unknown", _("Unknown")


class Image(models.Model):
    """One photo file. The content hash is its identity within a survey; the file itself is never changed."""

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="images")
    sha256 = models.CharField(max_length=64)
    relative_path = models.TextField(
        help_text=_("Below the ingested root, as found; names that are not UTF-8 are escaped.")
    )
    source_path = models.TextField(help_text=_("Where the file was read. A place: kept from most people."))
    size_bytes = models.BigIntegerField()
    mtime_ns = models.BigIntegerField()
    width = models.PositiveIntegerField(help_text=_("Pixels, upright."))
    height = models.PositiveIntegerField()
    format = models.CharField(max_length=16, blank=True)
    station = models.ForeignKey(Station, null=True, blank=True, on_delete=models.SET_NULL, related_name="images")
    camera = models.CharField(max_length=64, blank=True)
    event = models.ForeignKey(EncounterEvent, null=True, blank=True, on_delete=models.SET_NULL, related_name="images")
    captured_at = models.DateTimeField(null=True, blank=True)
    captured_raw = models.CharField(max_length=64, blank=True, help_text=_("As the camera wrote it."))
    clock_offset_seconds = models.IntegerField(
        default=0, help_text=_("Added to what the camera's clock said; `captured_at` holds the sum.")
    )
    captured_source = models.CharField(max_length=8, choices=CaptureTimeSource, default=CaptureTimeSource.UNKNOWN)
    infrared = models.BooleanField(null=True, blank=True)
    flags = models.JSONField(default=list, blank=True)
    exif = models.JSONField(default=dict, blank=True, help_text=_("Without GPS."))
    gps_latitude = models.FloatField(null=True, blank=True)
    gps_longitude = models.FloatField(null=True, blank=True)
    edges_path = models.TextField(blank=True, help_text=_("An edge map that was given beside a finished crop."))
    preview = models.CharField(max_length=255, blank=True, help_text=_("Below the media folder, without metadata."))
    thumbnail = models.CharField(max_length=255, blank=True)
    has_person = models.BooleanField(default=False)
    detector = models.CharField(
        max_length=120, blank=True, help_text=_("Name and version of the detector that looked.")
    )
    detector_note = models.TextField(blank=True)
    imported = models.JSONField(
        default=dict, blank=True, help_text=_("What an import says of the photo; see identification.services.imported.")
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["survey", "relative_path"]
        constraints = [
            models.UniqueConstraint(fields=["survey", "sha256"], name="image_hash_once_per_survey"),
            models.CheckConstraint(condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="image_hash_is_sha256"),
            models.CheckConstraint(condition=Q(width__gt=0, height__gt=0), name="image_has_pixels"),
        ]
        indexes = [
            models.Index(fields=["survey", "relative_path"], name="image_path"),
            models.Index(fields=["station", "camera", "captured_at"], name="image_station_time"),
        ]

    def __str__(self) -> str:
        return self.shown_path

    @property
    def nameless(self) -> bool:
        """Whether names tell places here and whoever reads may not see them. No query where the survey hides none."""
        survey = self._state.fields_cache.get("survey")
        return (survey is None or survey.hide_stations) and names_hidden(self.survey_id)

    @property
    def station_label(self) -> str:
        """What the station is called for whoever reads; "" without one."""
        if self.station is None:
            return ""
        return self.station.neutral if self.nameless else self.station.code

    @property
    def name(self) -> str:
        """The file's name, or a neutral one where that tells the place and whoever reads may not see it."""
        return self.neutral if self.nameless else self.file_name

    @property
    def file_name(self) -> str:
        return self.relative_path.rsplit("/", 1)[-1]

    @property
    def neutral(self) -> str:
        return f"photo-{self.pk}.{self.format.lower() or 'jpg'}".replace(".jpeg", ".jpg")

    @property
    def shown_path(self) -> str:
        """`relative_path` as it may be shown: folders are called like stations."""
        return self.neutral if self.nameless else self.relative_path


class Category(models.TextChoices):
    ANIMAL = "animal", _("Animal")
    PERSON = "person", _("Person")
    VEHICLE = "vehicle", _("Vehicle")


class DetectionSource(models.TextChoices):
    DETECTOR = "detector", _("Detector")
    BACKGROUND = "background", _("Station background")
    WHOLE_FRAME = "whole_frame", _("Whole frame")
    CROP = "crop", _("Finished crop")
    IMPORTED = "imported", _("Imported")
    DRAWN = "drawn", _("Drawn by hand")


class Flank(models.TextChoices):
    LEFT = "left", _("Left")
    RIGHT = "right", _("Right")
    UNKNOWN = "unknown", _("Unknown")


class Triage(models.TextChoices):
    """Whether a detection shows the population's species. Undecided ones take part in matching."""

    UNDECIDED = "", _("Undecided")
    WANTED = "wanted", _("The population's species")
    OTHER = "other", _("Another species")


class Unusable(models.TextChoices):
    """Why a picture is of no use for comparing coats. Stored as it reads; other words can be said, too."""

    BLURRED = "blurred", _("Blurred")
    DARK = "too dark", _("Too dark")
    PART = "part of the animal", _("Part of the animal")
    COVERED = "covered", _("Covered")
    CROP = "wrong crop", _("Wrong crop")
    NOTHING = "no animal", _("No animal")
    OTHER = "other", _("Other")

    @classmethod
    def words(cls, reason: str) -> str:
        """A stored reason for reading: one of these in the reader's language, others as they were said."""
        return str(cls(reason).label).lower() if reason in cls.values else reason


class DetectionQuerySet(models.QuerySet["Detection"]):
    def comparable(self) -> DetectionQuerySet:
        """Those that take part in matching, review and export: usable animals not known to be another species."""
        return self.filter(category=Category.ANIMAL, usable=True).exclude(triage=Triage.OTHER)


class Detection(models.Model):
    """One box on an image, in pixels of the upright image, with its crop, mask and edge map."""

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="detections")
    category = models.CharField(max_length=8, choices=Category, default=Category.ANIMAL)
    confidence = models.FloatField(default=0)
    source = models.CharField(max_length=12, choices=DetectionSource, default=DetectionSource.DETECTOR)
    engine = models.CharField(max_length=120, help_text=_("Name and version of what made the box."))
    x1 = models.FloatField()
    y1 = models.FloatField()
    x2 = models.FloatField()
    y2 = models.FloatField()
    species = models.CharField(max_length=200, blank=True)
    triage = models.CharField(max_length=8, choices=Triage, default=Triage.UNDECIDED, blank=True)
    triage_by_person = models.BooleanField(default=False)
    triage_score = models.FloatField(
        null=True, blank=True, help_text=_("Estimated probability that it is the population's species.")
    )
    triage_order = models.FloatField(
        null=True,
        blank=True,
        help_text=_("An order to look at boxes in where nothing was learned yet. No probability."),
    )
    flank = models.CharField(max_length=8, choices=Flank, default=Flank.UNKNOWN)
    flank_by_person = models.BooleanField(default=False)
    left_probability = models.FloatField(
        null=True, blank=True, help_text=_("Estimated probability that this is the left flank.")
    )
    flank_evidence = models.CharField(max_length=40, blank=True, help_text=_("What the estimate rests on."))
    usable = models.BooleanField(default=True)
    unusable_reason = models.CharField(max_length=200, blank=True)
    crop = models.CharField(max_length=255, blank=True)
    mask = models.CharField(max_length=255, blank=True)
    cutout = models.CharField(max_length=255, blank=True, help_text=_("The crop with its background removed."))
    edges = models.CharField(max_length=255, blank=True)
    segmenter = models.CharField(max_length=120, blank=True)
    quality = models.JSONField(default=dict, blank=True)
    individual = models.ForeignKey(
        "identification.Individual", null=True, blank=True, on_delete=models.SET_NULL, related_name="detections"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = DetectionQuerySet.as_manager()

    class Meta:
        ordering = ["image", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["image", "engine", "x1", "y1", "x2", "y2"], name="detection_once_per_engine_and_box"
            ),
            models.CheckConstraint(
                condition=Q(x1__gte=0, y1__gte=0, x2__gt=F("x1"), y2__gt=F("y1")), name="detection_box_has_area"
            ),
            models.CheckConstraint(condition=Q(confidence__range=(0, 1)), name="detection_confidence_is_fraction"),
            models.CheckConstraint(condition=Q(flank__in=Flank.values), name="detection_flank_known"),
            models.CheckConstraint(condition=Q(triage__in=Triage.values), name="detection_triage_known"),
            models.CheckConstraint(
                condition=Q(triage_score__isnull=True) | Q(triage_score__range=(0, 1)),
                name="detection_triage_score_is_fraction",
            ),
            models.CheckConstraint(
                condition=Q(left_probability__isnull=True) | Q(left_probability__range=(0, 1)),
                name="detection_left_probability_is_fraction",
            ),
            models.CheckConstraint(condition=Q(category__in=Category.values), name="detection_category_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_category_display()} on {self.image}"
