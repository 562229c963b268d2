"""What leaves SpotID. Callers check permissions; every export is audited."""

from .survey import ExportResult, MissingPhoto, survey_export, survey_export_zip

__all__ = ["ExportResult", "MissingPhoto", "survey_export", "survey_export_zip"]
