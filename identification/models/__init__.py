from .access import AuditEntry, Membership, Role, User
from .embedding import Embedding, EmbeddingModel, EncodingFailure, LocalFeatureSet, ModelActivation
from .image import CaptureTimeSource, Category, Detection, DetectionSource, Flank, Image, Triage
from .review import (
    Candidate,
    Decision,
    Individual,
    LinkProposal,
    MatchEdge,
    PairCalibration,
    Provenance,
    ReviewPosition,
    Verdict,
)
from .survey import CameraClock, EncounterEvent, Population, Station, Survey
from .training import TrainingRun
from .triage import TriageRun
from .work import Heartbeat, IngestReport, ProcessingStage, ProcessingState, SkippedPhoto, StationBackgroundRecord, Work

__all__ = [
    "AuditEntry",
    "CameraClock",
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
    "LinkProposal",
    "LocalFeatureSet",
    "MatchEdge",
    "Membership",
    "ModelActivation",
    "PairCalibration",
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
    "Triage",
    "TriageRun",
    "User",
    "Verdict",
    "Work",
]
