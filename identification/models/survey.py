"""Populations, surveys, stations and encounter events."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..naming import names_hidden


class Population(models.Model):
    """The catalogue within which identities are unique: a species in a landscape."""

    name = models.CharField(max_length=200)
    species = models.CharField(max_length=200, blank=True, help_text=_("Scientific name, e.g. Panthera pardus."))
    code_prefix = models.CharField(max_length=12, default="L", help_text=_("Individual codes look like L-0001."))
    last_number = models.PositiveIntegerField(
        default=0, editable=False, help_text=_("Of individual codes; never goes back.")
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
        STALE = "stale", _("Waiting for photos")
        RUNNING = "running", _("Matching")
        DONE = "done", _("Matched")
        FAILED = "failed", _("Failed")

    population = models.ForeignKey(Population, on_delete=models.PROTECT, related_name="surveys")
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC", help_text=_("Of the camera clocks, e.g. Asia/Kolkata."))
    source_root = models.TextField(
        blank=True, help_text=_("The folder that was ingested last. A place: kept from most people.")
    )
    station_pattern = models.TextField(blank=True)
    crops_only = models.BooleanField(default=False, help_text=_("The files are finished crops: no detector runs."))
    independence_minutes = models.PositiveIntegerField(default=30)
    completeness_goal = models.FloatField(
        default=0.99,
        validators=[MinValueValidator(0.5), MaxValueValidator(1)],
        help_text=_("Share of the true matches to be found before the review counts as finished."),
    )
    second_review_share = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=_("Share of the decided pairs that a second reviewer judges blindly."),
    )
    known_pairs_share = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(0.5)],
        help_text=_("Share of a reviewer's questions whose answer is known, asked to measure the reviewer."),
    )
    place_grid = models.FloatField(
        default=0.1,
        validators=[MinValueValidator(0.01), MaxValueValidator(5)],
        help_text=_("Width in degrees of the cells that are shown instead of places to those who may not see them."),
    )
    hide_stations = models.BooleanField(
        default=False,
        help_text=_("The names of stations and files tell the place: only who may see places sees them."),
    )
    print_top = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(0.3)],
        help_text=_("Share of a photo’s height at its top on which the camera prints what may tell the place."),
    )
    print_bottom = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(0.3)],
        help_text=_("The same at its bottom."),
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
            models.CheckConstraint(
                condition=models.Q(second_review_share__range=(0, 1), known_pairs_share__range=(0, 0.5)),
                name="survey_checks_are_shares",
            ),
            models.CheckConstraint(condition=models.Q(place_grid__range=(0.01, 5)), name="survey_grid_hides"),
            models.CheckConstraint(
                condition=models.Q(print_top__range=(0, 0.3), print_bottom__range=(0, 0.3)),
                name="survey_print_is_a_strip",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Station(models.Model):
    """A camera location in a survey. Coordinates are secrets: shown through `permissions` only.

    The code may be one, too (`Survey.hide_stations`): pages show `label`.
    """

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="stations")
    code = models.CharField(max_length=200)
    latitude = models.FloatField(null=True, blank=True, validators=[MinValueValidator(-90), MaxValueValidator(90)])
    longitude = models.FloatField(null=True, blank=True, validators=[MinValueValidator(-180), MaxValueValidator(180)])
    number = models.PositiveIntegerField(
        null=True, editable=False, help_text=_("Instead of the code where that is hidden; the database draws it.")
    )

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
        return self.label

    @property
    def label(self) -> str:
        """The code, or a neutral name where whoever reads may not see places. No query where the survey hides none."""
        survey = self._state.fields_cache.get("survey")
        hidden = (survey is None or survey.hide_stations) and names_hidden(self.survey_id)
        return self.neutral if hidden else self.code

    @property
    def neutral(self) -> str:
        """A name that tells no place, and stays: numbers are drawn, so that their order is not that of the codes."""
        if self.number is None:
            self.refresh_from_db(fields=["number"])
        return gettext("Station %(number)02d") % {"number": self.number or 0}


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
