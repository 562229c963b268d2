"""Calibrations that were asked for: one row each, which is the truth about it; the queue only wakes a worker."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .access import User
from .review import PairCalibration
from .survey import Population


class CalibrationRun(models.Model):
    """One fit of a population's probabilities, or one way back, and what came of it.

    Worked on like a photo: claimed by a conditional update with a lease and a fencing token. What it makes is stored
    in the transaction that ends it, so that a run which is worked on twice is done once.
    """

    class Kind(models.TextChoices):
        FIT = "fit", _("Fit")
        ROLLBACK = "rollback", _("Go back")

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Working")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    OPEN = (State.PENDING, State.RUNNING)

    population = models.ForeignKey(Population, on_delete=models.CASCADE, related_name="calibration_runs")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.FIT)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    calibration = models.ForeignKey(
        PairCalibration, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs", help_text=_("It made.")
    )
    sentence = models.TextField(blank=True, help_text=_("What came of it."))
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    token = models.BigIntegerField(default=0, help_text=_("Fencing token: a late write with an older one is refused."))
    lease_until = models.DateTimeField(null=True, blank=True, help_text=_("By the database's clock."))
    worker = models.CharField(max_length=120, blank=True)
    requested_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["population"], condition=Q(state__in=["pending", "running"]), name="one_open_calibration_run"
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_until__isnull=False), name="calibration_running_has_lease"
            ),
        ]

    def __str__(self) -> str:
        return f"Calibration {self.pk} of {self.population}: {self.get_state_display()}"

    @property
    def open(self) -> bool:
        return self.state in self.OPEN
