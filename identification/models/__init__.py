from .access import AuditEntry, Membership, Role, User
from .embedding import Embedding, EmbeddingModel, EncodingFailure, LocalFeatureSet, ModelActivation
from .image import CaptureTimeSource, Category, Detection, DetectionSource, Flank, Image
from .review import Candidate, Decision, Individual, MatchEdge, Provenance, ReviewPosition, Verdict
from .survey import EncounterEvent, Population, Station, Survey
from .training import TrainingRun
from .work import Heartbeat, IngestReport, ProcessingStage, ProcessingState, SkippedPhoto, StationBackgroundRecord, Work

__all__ = [
    "AuditEntry",
    "Candidate",
    "CaptureTimeSource",
    "Category",
    "Decision",
    "Detection",
    "DetectionSource",
    "Embedding",
    "EmbeddingModel",
    "EncodingFailure",
    "EncounterEvent",
    "Flank",
    "Heartbeat",
    "Image",
    "Individual",
    "IngestReport",
    "LocalFeatureSet",
    "MatchEdge",
    "Membership",
    "ModelActivation",
    "Population",
    "ProcessingStage",
    "ProcessingState",
    "Provenance",
    "ReviewPosition",
    "Role",
    "SkippedPhoto",
    "Station",
    "StationBackgroundRecord",
    "Survey",
    "TrainingRun",
    "User",
    "Verdict",
    "Work",
]
