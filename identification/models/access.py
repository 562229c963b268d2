"""Who may see and do what, and the record of what was done."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken


class User(AbstractUser):  # type: ignore[django-manager-missing]  # the manager of tokens is knox's, without types
    """An account. A superuser is the installation's administrator; everybody else sees surveys through memberships."""


class Role(models.TextChoices):
    VIEWER = "viewer", _("Viewer")
    REVIEWER = "reviewer", _("Reviewer")
    CURATOR = "curator", _("Curator")
    ADMINISTRATOR = "administrator", _("Administrator")


class Membership(models.Model):
    """What one account may do in one survey, or in all surveys of one population, those to come among them.

    Where several memberships reach a survey, the account may do there what any one of them gives.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    survey = models.ForeignKey(
        "identification.Survey", null=True, blank=True, on_delete=models.CASCADE, related_name="memberships"
    )
    population = models.ForeignKey(
        "identification.Population",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="memberships",
        help_text=_("Instead of one survey: all surveys of this population, present and future."),
    )
    role = models.CharField(max_length=16, choices=Role, default=Role.VIEWER)
    may_see_places = models.BooleanField(
        default=False,
        help_text=_("Exact coordinates, GPS in photos and source folders (curators and administrators only)."),
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "survey"], name="membership_once_per_survey"),
            models.UniqueConstraint(fields=["user", "population"], name="membership_once_per_population"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
            models.CheckConstraint(
                condition=models.Q(survey__isnull=True) ^ models.Q(population__isnull=True),
                name="membership_of_survey_or_population",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()} of {self.survey or self.population}"


class ApiToken(AbstractAuthToken):
    """What a program signs in with. Only a hash is kept; the first characters tell one from another.

    It may do what its account may, no more, until it expires or is revoked (deleted).
    """

    name = models.CharField(max_length=80)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ["-created"]

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"


class AuditEntry(models.Model):
    """Append-only record of what people did besides deciding pairs (triggers refuse changes).

    acting_user: None for the command line, and for somebody who could not sign in.
    """

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
