"""Populations, surveys, stations and encounter events."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower, Now


class Population(models.Model):
    """The catalogue within which identities are unique: a species in a landscape."""

    name = models.CharField(max_length=200)
    species = models.CharField(max_length=200, blank=True, help_text="Scientific name, e.g. Panthera pardus.")
    code_prefix = models.CharField(max_length=12, default="L", help_text="Individual codes look like L-0001.")
    last_number = models.PositiveIntegerField(
        default=0, editable=False, help_text="Of individual codes; never goes back."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="population_name_unique")]

    def __str__(self) -> str:
        return self.name


class Survey(models.Model):
    """One sampling season of a population."""

    class Matching(models.TextChoices):
        STALE = "stale", "Waiting for photos"
        RUNNING = "running", "Matching"
        DONE = "done", "Matched"
        FAILED = "failed", "Failed"

    population = models.ForeignKey(Population, on_delete=models.PROTECT, related_name="surveys")
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Of the camera clocks, e.g. Asia/Kolkata.")
    source_root = models.TextField(
        blank=True, help_text="The folder that was ingested last. A place: kept from most people."
    )
    station_pattern = models.TextField(blank=True)
    crops_only = models.BooleanField(default=False, help_text="The files are finished crops: no detector runs.")
    independence_minutes = models.PositiveIntegerField(default=30)
    completeness_goal = models.FloatField(
        default=0.99,
        validators=[MinValueValidator(0.5), MaxValueValidator(1)],
        help_text="Share of the true matches to be found before the review counts as finished.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    matching_state = models.CharField(max_length=12, choices=Matching, default=Matching.STALE)
    matching_attempts = models.PositiveSmallIntegerField(default=0)
    matching_worker = models.CharField(max_length=120, blank=True)
    matching_token = models.BigIntegerField(default=0)
    matching_lease_until = models.DateTimeField(null=True, blank=True)
    matching_progress = models.FloatField(default=0)
    matching_error = models.TextField(blank=True)
    matched_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(Lower("name"), name="survey_name_unique"),
            models.CheckConstraint(
                condition=models.Q(matching_state__in=["stale", "running", "done", "failed"]),
                name="survey_matching_known",
            ),
            models.CheckConstraint(
                condition=models.Q(completeness_goal__range=(0.5, 1)), name="survey_completeness_goal_is_share"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Station(models.Model):
    """A camera location in a survey. Coordinates are secrets: shown through `permissions` only."""

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="stations")
    code = models.CharField(max_length=200)
    latitude = models.FloatField(null=True, blank=True, validators=[MinValueValidator(-90), MaxValueValidator(90)])
    longitude = models.FloatField(null=True, blank=True, validators=[MinValueValidator(-180), MaxValueValidator(180)])

    class Meta:
        ordering = ["survey", "code"]
        constraints = [
            models.UniqueConstraint(fields=["survey", "code"], name="station_code_once_per_survey"),
            models.CheckConstraint(
                condition=models.Q(latitude__isnull=True, longitude__isnull=True)
                | models.Q(latitude__range=(-90, 90), longitude__range=(-180, 180)),
                name="station_coordinates_whole",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class CameraClock(models.Model):
    """What must be added to the clock of one camera of a station to get the time of the survey's zone."""

    station = models.ForeignKey(Station, on_delete=models.CASCADE, related_name="clocks")
    camera = models.CharField(max_length=64, blank=True)
    offset_seconds = models.IntegerField(default=0)
    by_person = models.BooleanField(default=False)
    note = models.CharField(max_length=200, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["station", "camera"]
        constraints = [models.UniqueConstraint(fields=["station", "camera"], name="clock_once_per_camera")]

    def __str__(self) -> str:
        return f"{self.station} {self.camera}: {self.offset_seconds:+d} s".replace("  ", " ")


class EncounterEvent(models.Model):
    """Photos of one station within the survey's independence interval."""

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="events")
    station = models.ForeignKey(Station, on_delete=models.CASCADE, related_name="events")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    class Meta:
        ordering = ["started_at"]
        constraints = [
            models.UniqueConstraint(fields=["station", "started_at"], name="event_once_per_station_and_start"),
            models.CheckConstraint(
                condition=models.Q(ended_at__gte=models.F("started_at")), name="event_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.station} {self.started_at:%Y-%m-%d %H:%M}"
