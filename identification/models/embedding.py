"""Vectors and local features. Vectors of two models are never compared."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from pgvector.django import VectorField

from .access import User
from .image import Detection

# What pgvector indexes, in dimensions.
LONGEST_VECTOR, LONGEST_HALFVEC = 2000, 4000


class EmbeddingModel(models.Model):
    """One set of weights with everything that gives its vectors meaning."""

    class State(models.TextChoices):
        CANDIDATE = "candidate", _("Candidate")
        ACTIVE = "active", _("Active")
        RETIRED = "retired", _("Retired")

    name = models.CharField(max_length=120, unique=True)
    architecture = models.CharField(max_length=120)
    config = models.JSONField(default=dict, help_text=_("Backbone, input size, channels, mean and standard deviation."))
    dimension = models.PositiveIntegerField()
    weights_file = models.CharField(max_length=255, help_text=_("Below the weights folder."))
    checksum = models.CharField(max_length=64, help_text=_("SHA-256 of the weights file."))
    licence = models.CharField(max_length=120, blank=True)
    trained = models.BooleanField(
        default=False,
        help_text=_("Untrained weights make vectors that say nothing; identification then leans on local features."),
    )
    evaluation = models.JSONField(default=dict, blank=True)
    card = models.JSONField(
        default=dict,
        blank=True,
        help_text=_("What travels with the weights: training data, pipeline, licence, source."),
    )
    report = models.CharField(
        max_length=255, blank=True, help_text=_("Its evaluation as a page, below the home folder.")
    )
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="children",
        help_text=_("Trained from it."),
    )
    state = models.CharField(max_length=10, choices=State, default=State.CANDIDATE)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=Q(state="active"), name="one_active_embedding_model"),
            models.CheckConstraint(condition=Q(dimension__range=(1, 16000)), name="embedding_dimension_storable"),
            models.CheckConstraint(condition=Q(checksum__regex=r"^[0-9a-f]{64}$"), name="model_checksum_is_sha256"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def compared_as(self) -> str:
        """The pgvector type by which vectors are indexed and compared; "" where they are too long for an index."""
        if self.dimension <= LONGEST_VECTOR:
            return "vector"
        return "halfvec" if self.dimension <= LONGEST_HALFVEC else ""


class ModelActivation(models.Model):
    """The way of one model into use: every detection is encoded under it while the old model serves, then the switch.

    Worked on like a photo: claimed by a conditional update with a lease and a fencing token.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Encoding")
        DONE = "done", _("Active")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    OPEN = (State.PENDING, State.RUNNING)

    model = models.ForeignKey(EmbeddingModel, on_delete=models.CASCADE, related_name="activations")
    previous = models.ForeignKey(
        EmbeddingModel,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text=_("Served before."),
    )
    filling = models.BooleanField(
        default=False, help_text=_("The model serves already (gone back to); coats without a vector are filled in.")
    )
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    token = models.BigIntegerField(default=0, help_text=_("Fencing token: a late write with an older one is refused."))
    lease_until = models.DateTimeField(null=True, blank=True, help_text=_("By the database's clock."))
    worker = models.CharField(max_length=120, blank=True)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                models.Value(1), condition=Q(state__in=["pending", "running"]), name="one_open_activation"
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_until__isnull=False), name="activation_running_has_lease"
            ),
        ]

    def __str__(self) -> str:
        return f"Activation of {self.model}: {self.get_state_display()}"


class Embedding(models.Model):
    """The L2-normalised vector of one detection under one model (a check in the database refuses zero and NaN)."""

    detection = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="embeddings")
    model = models.ForeignKey(EmbeddingModel, on_delete=models.PROTECT, related_name="embeddings")
    vector = VectorField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["detection", "model"], name="embedding_once_per_detection_and_model"),
        ]

    def __str__(self) -> str:
        return f"{self.model} of {self.detection}"


class EncodingFailure(models.Model):
    """A coat that a model cannot encode, and why. It has no vector under that model and does not hold it up."""

    detection = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="encoding_failures")
    model = models.ForeignKey(EmbeddingModel, on_delete=models.CASCADE, related_name="encoding_failures")
    reason = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["detection", "model"], name="encoding_failure_once_per_model"),
        ]

    def __str__(self) -> str:
        return f"{self.detection} under {self.model}: {self.reason}"


class LocalFeatureSet(models.Model):
    """Compact local features of one detection under one version of the extractor."""

    detection = models.ForeignKey(Detection, on_delete=models.CASCADE, related_name="local_features")
    version = models.CharField(max_length=64)
    count = models.PositiveIntegerField()
    data = models.BinaryField(max_length=65536)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["detection", "version"], name="local_features_once_per_detection_and_version"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.count} {self.version} features of {self.detection}"
