from .access import ApiToken, AuditEntry, Membership, Role, User
from .agreement import Adjudication, Opinion, ReviewLease
from .calibration import CalibrationRun
from .embedding import Embedding, EmbeddingModel, EncodingFailure, LocalFeatureSet, ModelActivation
from .exporting import ExportRun
from .image import CaptureTimeSource, Category, Detection, DetectionSource, Flank, Image, Triage
from .imports import CameraOperation, ImportIssue, ImportRun
from .receiving import IngestRequest, ReceivedFile
from .requests import RequestKey
from .review import (
    AgeClass,
    Candidate,
    Decision,
    Individual,
    LinkProposal,
    MatchEdge,
    PairCalibration,
    Provenance,
    Remark,
    ReviewPosition,
    Sex,
    Verdict,
)
from .survey import CameraClock, EncounterEvent, Population, Station, Survey
from .training import TrainingRun
from .triage import TriageRun
from .work import Heartbeat, IngestReport, ProcessingStage, ProcessingState, SkippedPhoto, StationBackgroundRecord, Work

__all__ = [
    "Adjudication",
    "AgeClass",
    "ApiToken",
    "AuditEntry",
    "CalibrationRun",
    "CameraClock",
    "CameraOperation",
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
    "ExportRun",
    "Flank",
    "Heartbeat",
    "Image",
    "ImportIssue",
    "ImportRun",
    "Individual",
    "IngestReport",
    "IngestRequest",
    "LinkProposal",
    "LocalFeatureSet",
    "MatchEdge",
    "Membership",
    "ModelActivation",
    "Opinion",
    "PairCalibration",
    "Population",
    "ProcessingStage",
    "ProcessingState",
    "Provenance",
    "ReceivedFile",
    "Remark",
    "RequestKey",
    "ReviewLease",
    "ReviewPosition",
    "Role",
    "Sex",
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
