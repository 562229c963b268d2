"""The state of background work. These rows are the truth; the queue only wakes workers."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from ..naming import names_hidden
from .image import Image
from .survey import Survey


class ProcessingStage(models.TextChoices):
    DECODE = "decode", _("Reading")
    DETECT = "detect", _("Finding animals")
    ISOLATE = "isolate", _("Isolating the coat")
    EMBED = "embed", _("Encoding")
    FEATURES = "features", _("Local features")


class ProcessingState(models.TextChoices):
    PENDING = "pending", _("Waiting")
    RUNNING = "running", _("Working")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    SET_ASIDE = "set_aside", _("Set aside")


class Work(models.Model):
    """The processing of one photo: claimed by a conditional update, attempts counted before the work."""

    image = models.OneToOneField(Image, primary_key=True, on_delete=models.CASCADE, related_name="work")
    state = models.CharField(max_length=10, choices=ProcessingState, default=ProcessingState.PENDING)
    stage = models.CharField(max_length=10, choices=ProcessingStage, default=ProcessingStage.DECODE)
    attempts = models.PositiveSmallIntegerField(default=0)
    token = models.BigIntegerField(default=0, help_text=_("Fencing token: a late write with an older one is refused."))
    lease_until = models.DateTimeField(null=True, blank=True, help_text=_("By the database's clock."))
    worker = models.CharField(max_length=120, blank=True, help_text=_("host:process that holds the lease."))
    queued_at = models.DateTimeField(null=True, blank=True)
    reason_code = models.CharField(max_length=64, blank=True)
    reason = models.TextField(blank=True)
    seconds = models.FloatField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "work"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ProcessingState.values), name="work_state_known"),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_until__isnull=False), name="work_running_has_lease"
            ),
        ]
        indexes = [models.Index(fields=["state", "lease_until"], name="work_state")]

    def __str__(self) -> str:
        return f"{self.image}: {self.get_state_display()}"


class IngestReport(models.Model):
    """What one run of ingest found."""

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="ingest_reports")
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    read = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    known = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.survey}: {self.new} new, {self.known} known, {self.skipped} skipped"


class SkippedPhoto(models.Model):
    """A file that ingest left out, and why."""

    report = models.ForeignKey(IngestReport, on_delete=models.CASCADE, related_name="files")
    relative_path = models.TextField()
    code = models.CharField(max_length=64)
    reason = models.TextField()

    def __str__(self) -> str:
        return f"{self.shown_path}: {self.reason}"

    @property
    def shown_path(self) -> str:
        """The path, or its kind alone where names tell places and whoever reads may not see them."""
        if not names_hidden(self.report.survey_id):
            return self.relative_path
        return f"….{self.relative_path.rpartition('.')[2][:5].lower()}"


class StationBackgroundRecord(models.Model):
    """The background of one camera by day or in infrared, made of the survey's own frames."""

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="backgrounds")
    key = models.CharField(max_length=200, help_text=_("Station, camera, size and mode."))
    frames = models.PositiveIntegerField()
    available = models.PositiveIntegerField(help_text=_("Frames of that camera when it was made."))
    file = models.CharField(max_length=255)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["survey", "key"], name="background_once_per_camera_and_mode")]

    def __str__(self) -> str:
        return f"{self.survey} {self.key}"


class Heartbeat(models.Model):
    """When something last showed that it lives, by the database's clock."""

    name = models.CharField(max_length=64, primary_key=True)
    beat_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.name} {self.beat_at:%H:%M:%S}"
