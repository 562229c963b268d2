"""When cameras worked, and what was brought along from other tools."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from ..naming import names_hidden
from .access import User
from .survey import Station, Survey


class CameraOperation(models.Model):
    """One camera of a station from set-up to retrieval, in days and times of the survey's zone as people wrote them.

    A time that is missing is noon. problems: a list of pairs [from, to] of ISO days (`2024-03-01`) or instants
    (`2024-03-01T17:30`) between which it did not work; whole days count, both. Read through
    `selectors.camera_operation`, written by `services.camera_operation`.
    """

    station = models.ForeignKey(Station, on_delete=models.CASCADE, related_name="operations")
    camera = models.CharField(max_length=64, blank=True, help_text=_("Empty: all cameras of the station."))
    set_up = models.DateField()
    set_up_time = models.TimeField(null=True, blank=True)
    retrieved = models.DateField(null=True, blank=True, help_text=_("Empty while it stands."))
    retrieved_time = models.TimeField(null=True, blank=True)
    problems = models.JSONField(default=list, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["station", "camera", "set_up"]
        constraints = [
            models.UniqueConstraint(
                fields=["station", "camera", "set_up", "set_up_time"],
                name="operation_once_per_camera_and_set_up",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(retrieved__isnull=True) | Q(retrieved__gte=F("set_up")),
                name="operation_retrieved_after_set_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.station} {self.camera}: {self.set_up} – {self.retrieved or '…'}".replace("  ", " ")


class ImportRun(models.Model):
    """One dry run or run of an import into a survey: what was brought, what came of it, and what could not be used.

    Worked on like a photo: claimed by a conditional update with a lease and a fencing token. A run repeats what its dry
    run (`rehearsal`) showed, with the same file and options.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Working")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    OPEN = (State.PENDING, State.RUNNING)

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="import_runs")
    requested_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=24)
    dry_run = models.BooleanField(default=True)
    rehearsal = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="runs")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    file_name = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64, blank=True, help_text=_("Of the file, or of names and sizes of a folder."))
    size = models.BigIntegerField(default=0)
    path = models.TextField(blank=True, help_text=_("Where the file lies. A place: kept from most people."))
    options = models.JSONField(default=dict, blank=True)
    counts = models.JSONField(default=dict, blank=True)
    notes = models.JSONField(default=list, blank=True, help_text=_("Sentences about how the file was read."))
    issues_left_out = models.PositiveIntegerField(default=0, help_text=_("Issues beyond those that are listed."))
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    token = models.BigIntegerField(default=0, help_text=_("Fencing token: a late write with an older one is refused."))
    lease_until = models.DateTimeField(null=True, blank=True, help_text=_("By the database's clock."))
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_until__isnull=False), name="import_running_has_lease"
            ),
        ]

    def __str__(self) -> str:
        what = "Dry run" if self.dry_run else "Import"
        return f"{what} {self.pk} of {self.kind} into {self.survey}: {self.get_state_display()}"


class ImportIssue(models.Model):
    """Something of an import that could not be used. row: line or record of the file, from 1; None for the file.

    words: English, what the code means; detail: what it was about.
    """

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="issues")
    file = models.TextField(blank=True)
    row = models.PositiveIntegerField(null=True, blank=True)
    code = models.CharField(max_length=64)
    words = models.TextField()
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.shown_file} {self.row or ''}: {self.words}"

    @property
    def shown_file(self) -> str:
        """The file, or its kind alone where names tell places and whoever reads may not see them."""
        if not self.file or not names_hidden(self.run.survey_id):
            return self.file
        return f"….{self.file.rpartition('.')[2][:5].lower()}"

    @property
    def shown_detail(self) -> str:
        """What it was about, which may be a station or a file: not told to them either."""
        return "…" if self.detail and names_hidden(self.run.survey_id) else self.detail
