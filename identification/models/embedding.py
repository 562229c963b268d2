"""Vectors and local features. Vectors of two models are never compared."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from pgvector.django import VectorField

from .image import Detection


class EmbeddingModel(models.Model):
    """One set of weights with everything that gives its vectors meaning."""

    class State(models.TextChoices):
        CANDIDATE = "candidate", "Candidate"
        ACTIVE = "active", "Active"
        RETIRED = "retired", "Retired"

    name = models.CharField(max_length=120, unique=True)
    architecture = models.CharField(max_length=120)
    config = models.JSONField(default=dict, help_text="Backbone, input size, channels, mean and standard deviation.")
    dimension = models.PositiveIntegerField()
    weights_file = models.CharField(max_length=255, help_text="Below the weights folder.")
    checksum = models.CharField(max_length=64, help_text="SHA-256 of the weights file.")
    licence = models.CharField(max_length=120, blank=True)
    trained = models.BooleanField(
        default=False,
        help_text="Untrained weights make vectors that say nothing; identification then leans on local features.",
    )
    evaluation = models.JSONField(default=dict, blank=True)
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
