"""How the detections of a survey were told apart by species."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from .survey import Survey


class TriageRun(models.Model):
    """The scores of one survey: what they were learned from, and whether newer ones are asked for.

    A request counts `requested` up; the run that answers it brings `served` there. Worked on under a lease, with
    attempts counted before the work.
    """

    survey = models.OneToOneField(Survey, primary_key=True, on_delete=models.CASCADE, related_name="triage_run")
    requested = models.PositiveIntegerField(default=0)
    served = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True, help_text=_("By the database's clock."))
    error = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=0, help_text=_("Grows by one whenever scores are stored."))
    learned = models.BooleanField(
        default=False, help_text=_("Scores are probabilities learned from marks; else there is only an order.")
    )
    wanted = models.PositiveIntegerField(default=0, help_text=_("Boxes known to show the population's species."))
    other = models.PositiveIntegerField(default=0, help_text=_("Boxes known to show another species."))
    report = models.JSONField(default=dict, blank=True, help_text=_("How well marks left out were told."))
    computed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(served__lte=F("requested")), name="triage_served_what_was_requested"),
        ]

    def __str__(self) -> str:
        return f"Species of {self.survey}, version {self.version}"

    @property
    def waiting(self) -> bool:
        return self.requested > self.served
