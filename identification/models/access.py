"""Who may see and do what, and the record of what was done."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Now


class User(AbstractUser):
    """An account. A superuser is the installation's administrator; everybody else sees surveys through memberships."""


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    REVIEWER = "reviewer", "Reviewer"
    CURATOR = "curator", "Curator"
    ADMINISTRATOR = "administrator", "Administrator"


class Membership(models.Model):
    """What one account may do in one survey."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    survey = models.ForeignKey("identification.Survey", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.VIEWER)
    may_see_places = models.BooleanField(
        default=False,
        help_text="Exact coordinates, GPS in photos and source folders (curators and administrators only).",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "survey"], name="membership_once_per_survey"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()} of {self.survey}"


class AuditEntry(models.Model):
    """Append-only record of what people did besides deciding pairs (a trigger refuses changes)."""

    acting_user = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    action = models.CharField(max_length=64)
    survey = models.ForeignKey(
        "identification.Survey",
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
    )
    object_type = models.CharField(max_length=64)
    object_id = models.BigIntegerField()
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-id"]
        indexes = [models.Index(fields=["object_type", "object_id"], name="audit_object")]

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_id}"
