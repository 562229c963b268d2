"""Exports that were asked for: one row each, which is the truth about it; the queue only wakes a worker."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .access import User
from .survey import Population, Survey


class ExportRun(models.Model):
    """One export of a survey, or of surveys of a population, and the file that came of it.

    Worked on like a photo: claimed by a conditional update with a lease and a fencing token. The file is published in
    the transaction that ends the run, so one that is worked on twice is done once.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Working")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    OPEN = (State.PENDING, State.RUNNING)

    population = models.ForeignKey(Population, on_delete=models.CASCADE, related_name="export_runs")
    survey = models.ForeignKey(
        Survey,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="export_runs",
        help_text=_("Empty: surveys of the population."),
    )
    survey_ids = models.JSONField(help_text=_("The surveys in it, in which whoever downloads it must have the right."))
    options = models.JSONField(help_text=_("Formats, days, occasions, places, files: exports.options."))
    requested_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    token = models.BigIntegerField(default=0, help_text=_("Fencing token: a late write with an older one is refused."))
    lease_until = models.DateTimeField(null=True, blank=True, help_text=_("By the database's clock."))
    worker = models.CharField(max_length=120, blank=True)
    file = models.CharField(
        max_length=255, blank=True, help_text=_("Below the exports' folder; empty once it is gone.")
    )
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    counts = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "running", "done", "failed"]), name="export_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_until__isnull=False), name="export_running_has_lease"
            ),
        ]

    def __str__(self) -> str:
        return f"Export {self.pk} of {self.survey or self.population}: {self.get_state_display()}"

    @property
    def open(self) -> bool:
        return self.state in self.OPEN

    @property
    def formats(self) -> list[str]:
        return list(self.options.get("formats", []))

    @property
    def with_places(self) -> bool:
        return bool(self.options.get("with_places"))
