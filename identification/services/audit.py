"""The audit row that every human change writes in its own transaction."""

from __future__ import annotations

from typing import Any

from django.db import models

from ..models import AuditEntry, Survey, User


def audit_record(
    *,
    acting_user: User | None,
    action: str,
    target: models.Model,
    survey: Survey | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEntry:
    """Append what was done to the audit log. Call it inside the transaction of the change itself."""
    return AuditEntry.objects.create(
        acting_user=acting_user,
        action=action,
        survey=survey,
        object_type=target._meta.model_name or "",
        object_id=target.pk,
        before=before or {},
        after=after or {},
    )


def audit_download_record(*, acting_user: User, wanted: dict[str, Any]) -> AuditEntry:
    """Write down that somebody took the audit log along as a table. wanted: what it was filtered by."""
    return audit_record(acting_user=acting_user, action="audit.download", target=acting_user, after=wanted)
