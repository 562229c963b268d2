"""A small season whose every number was counted by hand, for the tests of exports.

Three stations, two cameras at the first. Survey days 1 to 6 March 2024, in Kathmandu (UTC+05:45).

    animal        what is known                      photos (day, station, flank)
    L-0001 Asha   both flanks are one animal         1 ST 01 left; 1 ST 01 right (same minute, camera B); 4 RIVER left
    L-0002        left flank only                    2 RIVER left; 2 RIVER left (9 minutes later); 5 ST 01 left
    L-0003        left flank only                    3 Höhle_3 left; 6 Höhle_3 left
    L-0004        right flank only                   2 RIVER right; 3 RIVER right
    L-0005        contradicts itself                 5 RIVER left (three photos)
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from identification.models import Detection, Individual, Provenance, Survey, User, Verdict
from identification.services.catalogue import individual_describe
from identification.services.decisions import decision_record
from identification.services.events import events_rebuild
from identification.services.individuals import individual_rename
from tests.identification import factories as make
from tests.identification.factories import match

ZONE = ZoneInfo("Asia/Kathmandu")
PLACES = {"ST 01": (27.5601, 84.2012), "RIVER": (27.5712, 84.2533), "Höhle_3": (27.5899, 84.2222)}


class Season:
    """The survey, its user, and its photos by a short name."""

    def __init__(self, originals: Path, name: str = "Valley 2024", population=None, **values) -> None:  # type: ignore[no-untyped-def]
        self.originals = originals
        population = population or make.make_population(species="Panthera pardus")
        self.survey: Survey = make.make_survey(population, name, time_zone="Asia/Kathmandu", **values)
        self.user: User = make.make_user()
        self.stations = {
            code: make.make_station(self.survey, code, latitude=place[0], longitude=place[1])
            for code, place in PLACES.items()
        }

    def photo(self, day: int, station: str, flank: str = "", *, camera: str = "A", at: str = "06:00") -> Detection:
        """A photo with an original file and, where a flank is named, an animal on it."""
        number = self.survey.images.count()
        data = make.jpeg(make.frame_pixels(number + 1))
        file = self.originals / f"{self.survey.pk}-{number}.jpg"
        file.write_bytes(data)
        moment = datetime.combine(
            datetime(2024, 3, day),
            datetime.strptime(at, "%H:%M").time(),
            tzinfo=ZONE,
        )
        image = make.make_image(
            self.survey,
            station=self.stations[station],
            camera=camera,
            captured_at=moment,
            relative_path=f"{station}/{camera}/IMG_{number:04d}.JPG",
            source_path=str(file),
            sha256=hashlib.sha256(data).hexdigest(),
            files=False,
        )
        image.size_bytes = len(data)
        image.save(update_fields=["size_bytes"])
        return make.make_detection(image, flank=flank or "unknown", files=False)

    def joined(self, *detections: Detection) -> Individual:
        """Each matched with the first; two flanks as the facing cameras of a station show them."""
        for other in detections[1:]:
            both = {detections[0].flank, other.flank} == {"left", "right"}
            decision_record(
                acting_user=self.user,
                first=detections[0],
                second=other,
                verdict=Verdict.MATCH,
                provenance=Provenance.PAIRED_CAMERAS if both else Provenance.REVIEWER,
            )
        return Individual.objects.get(detections=detections[0])


def make_season(originals: Path) -> Season:
    season = Season(originals)
    photo = season.photo
    asha = season.joined(
        photo(1, "ST 01", "left"), photo(1, "ST 01", "right", camera="B"), photo(4, "RIVER", "left", at="23:59")
    )
    individual_rename(acting_user=season.user, individual=asha, name="Asha")
    individual_describe(acting_user=season.user, individual=asha, sex="female", age_class="adult")
    season.joined(
        photo(2, "RIVER", "left"), photo(2, "RIVER", "left", at="06:09"), photo(5, "ST 01", "left", at="00:00")
    )
    season.joined(photo(3, "Höhle_3", "left"), photo(6, "Höhle_3", "left"))
    season.joined(photo(2, "RIVER", "right", at="21:00"), photo(3, "RIVER", "right"))
    torn = [photo(5, "RIVER", "left", at=f"12:0{number}") for number in range(3)]
    season.joined(*torn)
    match(season.user, torn[1], torn[2], Verdict.NO_MATCH, confirm=True)
    events_rebuild(survey=season.survey)
    return season
