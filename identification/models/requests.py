"""Requests of programs that carried a key, so that what arrives twice is done once."""

from django.db import models
from django.db.models.functions import Now

from .access import User


class RequestKey(models.Model):
    """An `Idempotency-Key` of an account, what it was used for, and what was answered. Forgotten after a day."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of method, address and content.")
    rights = models.CharField(max_length=64, help_text="Digest of what the account might do then.")
    status = models.PositiveSmallIntegerField(default=0)
    answer = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="request_key_once")]
        indexes = [models.Index(fields=["created_at"], name="request_key_age")]

    def __str__(self) -> str:
        return f"{self.key} of {self.user}"
