"""Retraining: one row per run, which is the truth about it; the queue only wakes the trainer."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .access import User
from .embedding import EmbeddingModel
from .survey import Population


class TrainingRun(models.Model):
    """One training of an embedding network on the confirmed individuals of a population.

    Claimed by a conditional update with a lease and a fencing token; a killed run goes on from its checkpoint.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Training")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    OPEN = (State.PENDING, State.RUNNING)

    population = models.ForeignKey(Population, on_delete=models.CASCADE, related_name="training_runs")
    start_model = models.ForeignKey(
        EmbeddingModel,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text=_("Begins from it."),
    )
    candidate = models.ForeignKey(
        EmbeddingModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="training_runs"
    )
    config = models.JSONField(default=dict, help_text=_("Every parameter of the training, as in train.toml."))
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    cancel_requested = models.BooleanField(default=False)
    stage = models.CharField(max_length=64, blank=True, help_text=_("What it is at, for people."))
    epoch = models.PositiveIntegerField(default=0)
    epochs = models.PositiveIntegerField(default=0)
    progress = models.FloatField(default=0, help_text=_("0 to 1"))
    history = models.JSONField(default=list, blank=True, help_text=_("One entry per epoch: loss, DTkAP, seconds."))
    warnings = models.JSONField(default=list, blank=True)
    outcome = models.JSONField(
        default=dict, blank=True, help_text=_("Old and new model on the same held-out individuals.")
    )
    folder = models.CharField(max_length=255, blank=True, help_text=_("Checkpoint and logs, below the home folder."))
    attempts = models.PositiveSmallIntegerField(default=0)
    token = models.BigIntegerField(default=0, help_text=_("Fencing token: a late write with an older one is refused."))
    lease_until = models.DateTimeField(null=True, blank=True, help_text=_("By the database's clock."))
    worker = models.CharField(max_length=120, blank=True)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                models.Value(1), condition=Q(state__in=["pending", "running"]), name="one_open_training_run"
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_until__isnull=False), name="training_running_has_lease"
            ),
            models.CheckConstraint(condition=Q(progress__range=(0, 1)), name="training_progress_is_fraction"),
        ]

    def __str__(self) -> str:
        return f"Training {self.pk} on {self.population}: {self.get_state_display()}"
