"""A survey in figures: counted again by plain loops, for the accounts that may see it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from identification.matching.operation import Operation
from identification.models import CameraClock, Category, Detection, DetectionSource, Image, Role, Survey, Triage, User
from identification.selectors.figures import ANOTHER, EMPTY, PEOPLE, UNNAMED, Figures, survey_figures
from identification.services.camera_operation import operations_set
from identification.services.events import events_rebuild
from tests.identification import factories as make
from tests.identification.factories import client_of, match
from tests.identification.season import make_season

pytestmark = pytest.mark.django_db

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def _figures(survey: Survey, role: str = Role.CURATOR, user: User | None = None) -> Figures:
    return survey_figures(user=user or make.make_member(survey, role), survey=survey)


def _photo(survey: Survey, minutes: float, code: str = "ST01", **values: object) -> Image:
    station = make.make_station(survey, code) if code else None
    return make.make_image(
        survey, station=station, files=False, captured_at=NOON + timedelta(minutes=minutes), **values
    )


def _animal(survey: Survey, minutes: float, code: str = "ST01", **values: object) -> Detection:
    return make.make_detection(_photo(survey, minutes, code), files=False, **values)


def test_a_survey_without_photos_has_no_figures() -> None:
    survey = make.make_survey()
    figures = _figures(survey)
    assert (figures.shown, figures.all_animals, figures.stations, figures.photos, figures.span) == (
        [],
        None,
        [],
        0,
        None,
    )
    assert "No photos yet" in client_of(survey).get(reverse("survey-figures", args=[survey.pk])).content.decode()


def test_a_season_is_counted_as_a_loop_counts_it() -> None:
    survey = make_season(photos=400, stations=4, days=30)
    figures = _figures(survey)
    zone = ZoneInfo("Asia/Kolkata")
    photos: Counter[str] = Counter()
    events: dict[str, dict[int, datetime]] = {}
    days: dict[str, Counter[date]] = {}
    for image in Image.objects.select_related("station").prefetch_related("detections"):
        assert image.captured_at is not None and image.station is not None and image.event_id is not None
        box = next(iter(image.detections.all()), None)
        label = EMPTY if box is None else PEOPLE if box.category == Category.PERSON else box.species or UNNAMED
        photos[label] += 1
        at = image.captured_at.astimezone(zone)
        days.setdefault(image.station.code, Counter())[at.date()] += 1
        first = events.setdefault(label, {})
        first[image.event_id] = min(at, first.get(image.event_id, at))
    assert {row.label: row.photos for row in figures.shown} == photos
    assert {row.station.code: row.days for row in figures.stations} == days
    for row in figures.shown:
        if row.activity is not None:
            assert row.activity.hourly == tuple(
                Counter(at.hour for at in events[row.label].values())[hour] for hour in range(24)
            )
            assert row.events == row.activity.events == len(events[row.label])
    animals = {event for label, rows in events.items() if label not in (PEOPLE, EMPTY) for event in rows}
    assert figures.all_animals is not None and figures.all_animals.events == len(animals)


def test_activity_counts_events_and_not_photos() -> None:
    survey = make.make_survey(time_zone="Asia/Kolkata")
    for minutes in (0, 1, 25, 50, 120):
        _animal(survey, minutes, species="Axis axis")
    _animal(survey, 1, code="ST02", species="Axis axis")
    events_rebuild(survey=survey)
    (row,) = _figures(survey).shown
    assert (row.label, row.photos, row.events) == ("Axis axis", 6, 3)
    # Noon in London is half past five in the afternoon there.
    assert row.activity is not None and Counter(dict(enumerate(row.activity.hourly))) == Counter({17: 2, 19: 1})


def test_what_a_box_shows_follows_people_and_names() -> None:
    survey = make.make_survey(make.make_population(species="Panthera pardus"))
    seen = [_animal(survey, n * 60, code=f"ST{n:02d}") for n in range(2)]
    match(None, *seen)
    _animal(survey, 120, species="panthera  Pardus fusca")
    _animal(survey, 180, triage=Triage.WANTED)
    _animal(survey, 240, triage=Triage.OTHER)
    _animal(survey, 300, triage=Triage.OTHER, species="id;mammalia;cetartiodactyla;suidae;sus;scrofa;wild boar")
    _animal(survey, 360, species="unknown")
    _animal(survey, 420, usable=False)
    _animal(survey, 480, source=DetectionSource.WHOLE_FRAME)
    assert {row.label: row.photos for row in _figures(survey).shown} == {
        "Panthera pardus": 4,
        ANOTHER: 1,
        "Wild boar": 1,
        UNNAMED: 1,
    }


def test_how_many_photos_show_people_is_for_those_who_may_see_them() -> None:
    survey = make.make_survey()
    make.make_detection(_photo(survey, 0, has_person=True), files=False, category=Category.PERSON)
    assert [row.label for row in _figures(survey, Role.CURATOR).shown] == [PEOPLE]
    for role in (Role.VIEWER, Role.REVIEWER):
        assert _figures(survey, role).shown == []
        text = client_of(survey, role).get(reverse("survey-figures", args=[survey.pk])).content.decode()
        assert PEOPLE not in text


def test_days_are_those_of_the_survey_and_gaps_are_named() -> None:
    survey = make.make_survey(time_zone="Asia/Kolkata")
    # 23:30 there, then 00:30 of the next day, then nothing for nine days.
    for minutes in (360, 420, 420 + 10 * 1440):
        _photo(survey, minutes)
    _photo(survey, 420 + 30 * 1440, code="ST02")
    figures = _figures(survey)
    first, second = figures.stations
    assert sorted(first.days) == [date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 12)]
    assert (first.nights, second.nights) == (12, 1)
    assert [(gap.first.day, gap.last.day) for gap in first.gaps] == [(3, 11)]
    text = client_of(survey).get(reverse("survey-figures", args=[survey.pk])).content.decode()
    assert "3 Mar 2024 – 11 Mar 2024 (9 days)" in text
    assert "since 13 Mar 2024 (20 days)" in text


def test_clocks_that_were_not_set_count_once_a_person_has_said_how_they_go() -> None:
    survey = make.make_survey()
    image = _photo(survey, 0, flags=["clock_suspect"])
    make.make_detection(image, files=False)
    events_rebuild(survey=survey)
    figures = _figures(survey)
    assert (figures.suspect, figures.span, figures.all_animals) == (1, None, None)
    assert image.station is not None
    CameraClock.objects.create(station=image.station, camera=image.camera, by_person=True)
    figures = _figures(survey)
    assert figures.suspect == 0 and figures.span == (date(2024, 3, 1), date(2024, 3, 1))
    assert figures.all_animals is not None and figures.all_animals.events == 1


def test_individuals_accumulate_over_station_nights() -> None:
    survey = make.make_survey()
    for days in (0, 9):
        _photo(survey, days * 1440, code="ST01")
        _photo(survey, days * 1440, code="ST02")
    one = [_animal(survey, days * 1440 + 30) for days in (2, 3)]
    other = [_animal(survey, days * 1440 + 60, code="ST02") for days in (5, 5)]
    lost = [_animal(survey, 90, code="") for _ in range(2)]
    for pair in (one, other, lost):
        match(None, *pair)
    figures = _figures(survey)
    found = figures.accumulation
    assert (found.nights, found.individuals, found.once) == (20, 2, 1)
    assert [number for _, number in found.observed] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2]
    assert figures.unplaced == 2 and figures.unplaced_individuals == 1
    text = client_of(survey).get(reverse("survey-figures", args=[survey.pk])).content.decode()
    assert "2 individuals in 20 station-nights; 1 of them on one night only." in text
    assert "1 individual was seen on no photo" in text


def test_every_plot_is_well_formed_and_says_what_it_shows() -> None:
    survey = make_season(photos=600, stations=5, days=40)
    text = client_of(survey).get(reverse("survey-figures", args=[survey.pk])).content.decode()
    pictures = text.split('<svg class="plot" role="img"')[1:]
    assert len(pictures) == 6 + 5 + 1
    for picture in pictures:
        whole = '<svg xmlns="x"' + picture
        root = ElementTree.fromstring(whole[: _end(whole)])
        title = root.find("{x}title")
        assert title is not None and (title.text or "").strip()
        assert root.get("aria-labelledby") == title.get("id")
    assert text.count("<details>") == 3


def _end(text: str) -> int:
    """Where the element that the text begins with ends."""
    depth = at = 0
    while True:
        opened, closed = text.find("<svg", at), text.find("</svg>", at)
        if 0 <= opened < closed:
            depth, at = depth + 1, opened + 4
        else:
            depth, at = depth - 1, closed + 6
        if not depth:
            return at


def test_a_season_of_any_size_asks_equally_often() -> None:
    numbers = []
    for photos, stations in ((200, 3), (900, 9)):
        survey = make_season(photos=photos, stations=stations, days=40, seed=photos)
        client = client_of(survey)
        address = reverse("survey-figures", args=[survey.pk])
        with CaptureQueriesContext(connection) as asked:
            client.get(address)
        numbers.append(len(asked))
    assert numbers[0] == numbers[1] <= 15


def test_what_is_said_of_cameras_takes_the_place_of_first_and_last_photo() -> None:
    survey = make.make_survey()
    for days in (3, 4, 20):
        _photo(survey, 1440 * days, "ST01")
    _photo(survey, 0, "ST02")
    before = {row.station.code: row for row in _figures(survey).stations}
    assert (before["ST01"].nights, before["ST01"].effort, len(before["ST01"].gaps)) == (18, None, 1)
    first = NOON.date()
    dead = ((first + timedelta(days=6), first + timedelta(days=15)),)
    operations_set(
        survey=survey,
        acting_user=None,
        rows=[("ST01", Operation(first, first + timedelta(days=30), dead)), ("ST03", Operation(first))],
    )
    rows = {row.station.code: row for row in _figures(survey).stations}
    assert rows["ST01"].effort == 20 and rows["ST01"].nights == 21
    assert [(gap.first.day, gap.last.day) for gap in rows["ST01"].gaps] == [(22, 31)]
    assert (rows["ST02"].nights, rows["ST02"].effort) == (1, None)
    assert (rows["ST03"].nights, rows["ST03"].effort) == (0, 0)
    page = client_of(survey).get(reverse("survey-figures", args=[survey.pk])).content.decode()
    assert '<td class="num">20</td>' in page
    places = client_of(survey, Role.VIEWER).get(reverse("survey-stations", args=[survey.pk])).content.decode()
    assert "When the cameras worked" in places and "7 Mar 2024 – 16 Mar 2024" in places
