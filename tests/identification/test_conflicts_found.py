"""The conflicts page reads only groups that contradict themselves, and finds what looking at every group finds."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identification.models import Detection, Image, MatchEdge, Role, User, Verdict
from identification.selectors import conflicts
from identification.selectors.conflicts import contradictions_read
from identification.services.decisions import decision_undo
from tests.identification import factories as make
from tests.identification.conflicts_plain import Plain, as_plain, contradictions_plain
from tests.identification.factories import START, client_of, match

pytestmark = pytest.mark.django_db

PHOTOS = 9
couples = st.sampled_from(list(itertools.combinations(range(PHOTOS), 2)))
verdicts = st.sampled_from(["match", "match", "match", "match", "no_match", "unsure", "undo", "by hand"])
steps = st.lists(st.tuples(couples, verdicts), min_size=4, max_size=16)


@pytest.fixture
def photos() -> list[Detection]:
    """Of two surveys of one population, every hour one, at stations up to 60 km apart. The third and fourth are
    on one photo, as are the last two; one camera's clock was never set."""
    first = make.make_survey(name="First")
    surveys = [first, make.make_survey(first.population, "Second")]
    rows: list[Detection] = []
    for index in range(PHOTOS):
        if index in {3, PHOTOS - 1}:
            image = rows[-1].image
        else:
            survey = surveys[index > 5]
            place = {"latitude": 27 + index % 3 * (0.18, 0.27)[index % 2], "longitude": 84.0}
            station = make.make_station(survey, f"ST{index:02d}", **place)
            at = START + timedelta(hours=index * 0.7)
            image = make.make_image(survey, station=station, captured_at=at, files=False)
        rows.append(make.make_detection(image, files=False, box=(9, 9, 90, 90 + index)))
    Image.objects.filter(pk=rows[1].image_id).update(flags=["clock_suspect"])
    return rows


def turned(photos: list[Detection]) -> None:
    """Two of three flanks are known afterwards: opposite ones are not matched while that is known."""
    for index, photo in enumerate(photos):
        Detection.objects.filter(pk=photo.pk).update(flank=("left", "right", "unknown")[index % 3])


def readers(photos: list[Detection]) -> list[User]:
    """A curator of both surveys, one who curates the first and reviews the second, and a reviewer of the first."""
    first, second = photos[0].image.survey, photos[-1].image.survey
    both = make.make_member(first, Role.CURATOR, places=True)
    make.make_member(second, Role.CURATOR, user=both, places=True)
    half = make.make_member(first, Role.CURATOR, places=True)
    make.make_member(second, Role.REVIEWER, user=half)
    return [both, half, make.make_member(first, Role.REVIEWER)]


def paged(user: User) -> Plain:
    """What all pages show together, each thing once."""
    found, number, counted = Plain(), 1, [0, 0, 0]
    while True:
        page = contradictions_read(user=user, number=number)
        as_plain(page, found)
        for kind, rows in enumerate((page.conflicts, page.jumps, page.opposed)):
            assert len(rows) <= conflicts.MOST_SHOWN
            counted[kind] += len(rows)
        if not page.page.has_next():
            break
        number += 1
    totals = [page.conflicts_in_all, page.jumps_in_all, page.opposed_in_all]
    assert counted == totals == [len(found.conflicts), len(found.jumps), len(found.opposed)]
    return found


@given(steps=steps, data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_was_decided_the_pages_show_what_looking_at_every_group_finds(
    photos: list[Detection], monkeypatch: pytest.MonkeyPatch, steps: list, data: st.DataObject
) -> None:
    monkeypatch.setattr(conflicts, "MOST_SHOWN", 2)
    point = transaction.savepoint()
    try:
        standing = []
        for (a, b), verdict in steps:
            first, second = photos[a], photos[b]
            if verdict == "undo":
                if standing:
                    decision_undo(acting_user=None, decision=standing.pop(data.draw(st.integers(0, len(standing) - 1))))
            elif first.image_id == second.image_id and verdict in {"match", "by hand"}:
                continue  # The database refuses it.
            elif verdict == "by hand":
                # What no service wrote: a match without an individual.
                MatchEdge.objects.update_or_create(a=first, b=second, defaults={"verdict": Verdict.MATCH})
            else:
                standing.append(match(None, first, second, verdict, confirm=True))
        turned(photos)
        for user in readers(photos):
            assert paged(user) == contradictions_plain(user)
    finally:
        transaction.savepoint_rollback(point)


def test_each_kind_is_found_of_individuals_and_of_groups_that_kept_their_codes(photos: list[Detection]) -> None:
    """What the random sequences are about, at least once for certain."""
    both, half, reviewer = readers(photos)
    match(None, photos[0], photos[4])
    match(None, photos[4], photos[5])
    match(None, photos[1], photos[2])
    match(None, photos[1], photos[3], confirm=True)
    match(None, photos[6], photos[7])
    match(None, photos[6], photos[8], confirm=True)
    match(None, photos[0], photos[5], Verdict.NO_MATCH, confirm=True)
    turned(photos)
    found = paged(both)
    assert (len(found.conflicts), len(found.jumps) > 0, len(found.opposed)) == (3, True, 3)
    assert found == contradictions_plain(both)
    assert len(paged(reviewer).conflicts) == 2 and paged(reviewer).jumps == set()
    assert paged(half) == contradictions_plain(half)


def test_nothing_of_a_sound_group_is_read(photos: list[Detection]) -> None:
    curator = readers(photos)[0]
    with CaptureQueriesContext(connection) as asked:
        empty = contradictions_read(user=curator)
    assert empty.page.paginator.num_pages == 1 and empty.conflicts == empty.jumps == empty.opposed == []
    before = len(asked)
    match(None, photos[0], photos[4], Verdict.NO_MATCH)
    survey = photos[0].image.survey
    station = make.make_station(survey, "ST99", latitude=27.0, longitude=84.0)
    for number in range(3):
        at = START + timedelta(days=10 + number)
        rows = [make.make_sighting(survey, station=station, captured_at=at, files=False) for _ in range(3)]
        match(None, rows[0], rows[1])
        match(None, rows[1], rows[2])
    with CaptureQueriesContext(connection) as asked:
        contradictions_read(user=curator)
    assert len(asked) == before
    assert not any("RECURSIVE" in query["sql"] for query in asked), "no group had to be walked"


def test_pages_go_on_by_keyboard_and_a_page_behind_the_last_is_the_last(
    photos: list[Detection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflicts, "MOST_SHOWN", 1)
    survey = photos[0].image.survey
    for _ in range(3):
        a, b, c = (make.make_sighting(survey, files=False) for _ in range(3))
        match(None, a, b)
        match(None, b, c)
        match(None, a, c, Verdict.NO_MATCH, confirm=True)
    client = client_of(survey)
    first, last, beyond = (client.get(reverse("conflict-list"), {"page": n}) for n in ("1", "3", "99"))
    text = first.content.decode()
    assert "Page 1 of 3" in text and 'data-keys="ArrowRight"' in text and 'rel="prev"' not in text
    assert "No conflicts" not in text
    shown = {tuple(p.pk for p in page.context["conflicts"][0].photos) for page in (first, last)}
    assert len(shown) == 2
    assert beyond.context["conflicts"][0].photos == last.context["conflicts"][0].photos
    tokens = {"pair": last.context["conflicts"][0].part.tokens, "page": "3"}
    settled = client.post(reverse("conflict-settle"), tokens)
    assert "page=3" in settled["Location"] and "done=" in settled["Location"]
