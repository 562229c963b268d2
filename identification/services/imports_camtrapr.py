"""Folders as camtrapR wants them: they place photos anew, then species and individuals are written as of any import."""

from __future__ import annotations

from ..imports.camtrapr import Layout
from ..imports.reading import Reading
from ..inference import photos
from ..models import Image, Station
from .audit import audit_record
from .clocks import clocks_apply
from .events import events_rebuild
from .imports_write import reading_write
from .imports_writing import Writing
from .matching import matching_invalidate


def write(writing: Writing, reading: Reading) -> None:
    layout = reading.extra
    assert isinstance(layout, Layout)
    with writing.whole():
        if layout.pattern and layout.sure | bool(writing.options.values.get("layout")):
            placement_write(writing, layout.pattern)
        reading_write(writing, reading)
    if writing.dry_run:
        writing.survey.refresh_from_db(fields=["station_pattern"])


def placement_write(writing: Writing, pattern: str) -> None:
    """Let a station pattern place the survey's photos, those that are here and those to come.

    A photo that it does not place stays where it is.
    """
    survey = writing.survey
    compiled = photos.compile_pattern(pattern)
    rows = survey.images.select_related("station").only("pk", "relative_path", "camera", "station")
    moved = []
    for image in rows.order_by("pk").iterator():
        station, camera = photos.placement(image.relative_path, compiled)
        now = (image.station.code if image.station else "", image.camera)
        if station and (station, camera) != now:
            moved.append((image, station, camera))
    with writing.step():
        if moved or survey.station_pattern != pattern:
            before = survey.station_pattern
            survey.station_pattern = pattern
            survey.save(update_fields=["station_pattern"])
            _move(writing, moved)
            audit_record(
                acting_user=writing.acting_user,
                action="survey.placement",
                target=survey,
                survey=survey,
                before={"station_pattern": before},
                after={"station_pattern": pattern, "photos": len(moved)},
            )
        writing.count("stations_moved", len(moved))


def _move(writing: Writing, moved: list[tuple[Image, str, str]]) -> None:
    if not moved:
        return
    survey = writing.survey
    stations = {row.code: row for row in survey.stations.all()}
    for code in {code for _, code, _ in moved} - stations.keys():
        stations[code] = Station.objects.create(survey=survey, code=code)
        writing.count("stations_new")
    for image, code, camera in moved:
        image.station, image.camera = stations[code], camera
    Image.objects.bulk_update([image for image, _, _ in moved], ["station", "camera"], batch_size=1000)
    clocks_apply(survey=survey)
    events_rebuild(survey=survey)
    matching_invalidate(survey=survey)
