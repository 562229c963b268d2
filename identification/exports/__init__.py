"""What leaves SpotID. Callers check permissions; every export is audited."""

from .options import ExportOptions, Files, Format
from .survey import ExportResult, MissingPhoto, export_write, survey_export, survey_export_zip

__all__ = [
    "ExportOptions",
    "ExportResult",
    "Files",
    "Format",
    "MissingPhoto",
    "export_write",
    "survey_export",
    "survey_export_zip",
]
