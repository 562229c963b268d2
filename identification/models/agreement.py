"""Several people on one review: who holds which question now, and what was said to check a decision or a reviewer."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .access import User
from .image import Detection
from .review import Decision, Verdict
from .survey import Population, Survey


class ReviewLease(models.Model):
    """A question that one reviewer has before her: the pair that stands for it, until when nobody else is asked it.

    `until` is by the database's clock. Rows that ran out mean nothing and are deleted by the next one who takes any.
    """

    population = models.ForeignKey(Population, on_delete=models.CASCADE, related_name="+")
    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    a = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="+")
    b = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="+")
    taken_at = models.DateTimeField(db_default=Now(), editable=False)
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["a", "b"], name="review_lease_once_per_pair"),
            models.CheckConstraint(condition=Q(a__lt=F("b")), name="review_lease_pair_is_ordered"),
        ]
        indexes = [models.Index(fields=["population", "until"], name="review_lease_live")]

    def __str__(self) -> str:
        return f"{self.a_id}–{self.b_id} held by {self.user} until {self.until}"


class Opinion(models.Model):
    """Append-only: what a reviewer said of a pair that was asked to check, not to decide. No edge follows from it.

    A second opinion is about a decision and void when that is taken back. A known pair has a truth. `seen` says that
    somebody has been shown a decision, so that she can no longer judge it blindly. A withdrawal names what it takes
    back.
    """

    class Kind(models.TextChoices):
        SECOND = "second", _("Second review")
        KNOWN = "known", _("Known pair")
        SEEN = "seen", _("Saw the decision")

    class Basis(models.TextChoices):
        """Why the truth of a known pair counts as known."""

        IMPORTED = "imported", _("Imported label")
        CURATOR = "curator", _("Decided by a curator")
        TWO = "two", _("Two reviewers agreed")

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="opinions")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="opinions")
    kind = models.CharField(max_length=8, choices=Kind)
    a = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="+")
    b = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="+")
    verdict = models.CharField(max_length=12, choices=Verdict, blank=True)
    decision = models.ForeignKey(Decision, null=True, blank=True, on_delete=models.CASCADE, related_name="opinions")
    truth = models.CharField(max_length=12, choices=Verdict, blank=True)
    basis = models.CharField(max_length=10, choices=Basis, blank=True)
    probability_shown = models.FloatField(null=True, blank=True)
    withdraws = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="withdrawn_by"
    )
    key = models.UUIDField(
        null=True, blank=True, unique=True, editable=False, help_text=_("Made by the browser, as of a decision.")
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(a__lt=F("b")), name="opinion_pair_is_ordered"),
            models.CheckConstraint(
                condition=Q(kind__in=["second", "seen"], decision__isnull=False, truth="", basis="")
                | Q(
                    kind="known",
                    decision__isnull=True,
                    truth__in=["match", "no_match"],
                    basis__in=["imported", "curator", "two"],
                ),
                name="opinion_names_what_it_checks",
            ),
            models.CheckConstraint(
                condition=Q(withdraws__isnull=True, verdict__in=Verdict.values)
                | Q(withdraws__isnull=False, verdict="")
                | Q(kind="seen", verdict=""),
                name="opinion_is_verdict_or_withdrawal",
            ),
        ]
        indexes = [models.Index(fields=["survey", "user", "-id"], name="opinion_by_user")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.a_id}–{self.b_id}: {self.get_verdict_display() or 'none'}"


class Adjudication(models.Model):
    """Append-only: the decision with which a curator settled a disagreement between a decision and an opinion of it.

    When that decision is taken back, the disagreement is open again.
    """

    opinion = models.ForeignKey(Opinion, on_delete=models.CASCADE, related_name="adjudications")
    decision = models.OneToOneField(Decision, on_delete=models.CASCADE, related_name="adjudication")
    party = models.BooleanField(
        default=False, help_text=_("The curator was one of the two herself, for there was no other.")
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"Decision {self.decision_id} on opinion {self.opinion_id}"
