"""What somebody asked, in a browser, to be read into a survey: files that arrive piece by piece, or a folder."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .access import User
from .survey import Survey
from .work import IngestReport


class IngestRequest(models.Model):
    """Files or a folder to be read. Files arrive while it is `receiving`; from `pending` on it is a worker's."""

    class Kind(models.TextChoices):
        FILES = "files", _("Files")
        FOLDER = "folder", _("Folder")

    class State(models.TextChoices):
        RECEIVING = "receiving", _("Receiving")
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Reading")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    OPEN = (State.PENDING, State.RUNNING)

    survey = models.ForeignKey(Survey, on_delete=models.CASCADE, related_name="ingest_requests")
    requested_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.FILES)
    state = models.CharField(max_length=10, choices=State, default=State.RECEIVING)
    folder = models.TextField(blank=True, help_text=_("A folder that the server sees. A place: kept from most people."))
    report = models.ForeignKey(IngestReport, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    done = models.PositiveIntegerField(default=0, help_text=_("Files that were looked at."))
    total = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    token = models.BigIntegerField(default=0, help_text=_("Fencing token: a late write with an older one is refused."))
    lease_until = models.DateTimeField(null=True, blank=True, help_text=_("By the database's clock."))
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["survey", "requested_by"],
                condition=Q(state="receiving"),
                name="one_receiving_request_each",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_until__isnull=False), name="ingest_running_has_lease"
            ),
        ]

    def __str__(self) -> str:
        return f"Ingest {self.pk} into {self.survey}: {self.get_state_display()}"


class ReceivedFile(models.Model):
    """One file on its way. `received` of its `size` bytes are here; a refused one has a code and is never stored."""

    request = models.ForeignKey(IngestRequest, on_delete=models.CASCADE, related_name="files")
    relative_path = models.TextField()
    size = models.BigIntegerField()
    modified_ms = models.BigIntegerField(help_text=_("When the file was last changed, as the browser says."))
    received = models.BigIntegerField(default=0)
    code = models.CharField(max_length=64, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["request", "relative_path"], name="received_file_once"),
            models.CheckConstraint(
                condition=Q(size__gte=0, received__gte=0, received__lte=models.F("size")), name="received_within_size"
            ),
        ]

    def __str__(self) -> str:
        return self.relative_path

    @property
    def complete(self) -> bool:
        return not self.code and self.received == self.size
