"""The admin: one module per room. Everything that people say here goes through the same services as on the pages."""

from . import access, detections, engines, individuals, pairs, photos, queue, review, stations, surveys, work  # noqa: F401
