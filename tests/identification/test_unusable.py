"""Pictures that are set aside as not usable: with a reason, out of everything that compares, and restorable."""

from __future__ import annotations

import csv
import io
import zipfile

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import AuditEntry, Candidate, Detection, MatchEdge, Role, Survey, User
from identification.selectors.review_queue import review_of
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(media_root) -> tuple[Client, User, Survey, list[list[Detection]]]:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=3)
    user = make.make_member(survey)
    client = Client()
    client.force_login(user)
    return client, user, survey, animals


def aside(client: Client, detection: Detection, reason: str = "too dark") -> str:
    form = {"usable": "no", "unusable_reason": reason}
    return client.post(reverse("detection-annotate", args=[detection.pk]), form, follow=True).content.decode()


def test_it_leaves_the_queue_and_the_candidates_and_what_was_decided_stands(place) -> None:
    client, user, survey, animals = place
    a, b, _ = animals[0]
    match(user, a, b)
    assert "is set aside as not usable: too dark" in aside(client, a)
    a.refresh_from_db()
    assert (a.usable, a.unusable_reason) == (False, "too dark") and a.individual == Detection.objects.get(
        pk=b.pk
    ).individual
    assert MatchEdge.objects.get().verdict == "match"
    assert not Candidate.objects.filter(anchor=a).exists() and not Candidate.objects.filter(detection=a).exists()
    with review_of(user=user, survey=survey) as review:
        assert a.pk not in review.rows
        assert all(a.pk not in (q.pair.a, q.pair.b) for q in review.queue.questions())
    entry = AuditEntry.objects.get(action="detection.annotate")
    assert entry.acting_user == user and entry.after == {"usable": False, "unusable_reason": "too dark"}


def test_it_is_listed_and_restored(place) -> None:
    client, _, survey, animals = place
    aside(client, animals[0][0], "")
    photos = reverse("photo-list", args=[survey.pk]) + "?show=unusable"
    page = client.get(photos).context["page"]
    assert [image.pk for image in page.object_list] == [animals[0][0].image_id]
    text = client.get(reverse("photo-detail", args=[animals[0][0].image_id])).content.decode()
    assert "Not usable: other" in text and "Usable after all" in text
    answer = client.post(reverse("detection-annotate", args=[animals[0][0].pk]), {"usable": "yes"}, follow=True)
    assert "is usable again" in answer.content.decode()
    assert client.get(photos).context["page"].paginator.count == 0
    survey.refresh_from_db()
    assert survey.matching_state != "done", "it is compared anew"
    assert AuditEntry.objects.filter(action="detection.annotate").count() == 2


def test_both_pages_offer_the_reasons_to_those_who_decide(place) -> None:
    client, _, survey, animals = place
    pair = f"{animals[0][0].pk}-{animals[0][1].pk}"
    pages = [
        reverse("review", args=[survey.pk]) + f"?pair={pair}",
        reverse("review", args=[survey.pk]) + f"?anchor={animals[0][0].pk}",
        reverse("photo-detail", args=[animals[0][0].image_id]),
    ]
    for page in pages:
        text = client.get(page).content.decode()
        for reason in ("blurred", "too dark", "part of the animal", "covered", "wrong crop"):
            assert f'name="unusable_reason" value="{reason}"' in text
        assert 'name="unusable_reason" value="no animal"' in text or reverse("review-empty", args=[survey.pk]) in text
    viewer = client_of(survey, Role.VIEWER)
    assert "unusable_reason" not in viewer.get(pages[2]).content.decode()
    assert viewer.post(reverse("detection-annotate", args=[animals[0][0].pk]), {"usable": "no"}).status_code == 403


def exported(survey: Survey) -> set[str]:
    """Paths of the photos in the table of the export."""
    answer = client_of(survey, Role.CURATOR).post(reverse("survey-export", args=[survey.pk]))
    packed = zipfile.ZipFile(io.BytesIO(b"".join(answer)))
    with packed.open("leopard_matches.csv") as table:
        return {row["Image Path"] for row in csv.DictReader(io.TextIOWrapper(table, "utf-8-sig"))}


def test_an_export_goes_on_with_the_photos_that_are_matched(place) -> None:
    client, user, survey, animals = place
    match(user, animals[0][0], animals[0][1])
    before = exported(survey)
    aside(client, animals[1][0])
    assert exported(survey) == before and len(before) == 2


def test_from_the_review_page_curators_draw_the_box_and_come_back(place) -> None:
    client, _, survey, animals = place
    a, b, _ = animals[0]
    question = reverse("review", args=[survey.pk]) + f"?pair={a.pk}-{b.pk}"
    draw = f"{reverse('photo-detail', args=[a.image_id])}?box={a.pk}&amp;next="
    assert draw not in client.get(question).content.decode(), "boxes are for curators"
    curator = client_of(survey, Role.CURATOR)
    assert draw in curator.get(question).content.decode()
    page = curator.get(reverse("photo-detail", args=[a.image_id]), {"box": a.pk, "next": question})
    assert (
        "data-drawing" in page.content.decode()
        and f'name="next" value="{question.replace("&", "&amp;")}"' in page.content.decode()
    )
    form = {"x1": 10, "y1": 10, "x2": 200, "y2": 160, "next": question}
    answer = curator.post(reverse("detection-redraw", args=[a.pk]), form, follow=True)
    text = answer.content.decode()
    assert 'data-state="pending"' in text and f'data-wait="{question}"' in text
    for evil in ("https://evil.example/", "//evil.example", "javascript:alert(1)"):
        away = curator.get(reverse("photo-detail", args=[a.image_id]), {"wait": 1, "next": evil}).content.decode()
        assert "data-wait" not in away and f'href="{evil}' not in away and f'value="{evil}' not in away
    wrong = curator.post(reverse("detection-redraw", args=[a.pk]), {"x1": 1, "next": question})
    assert f"box={a.pk}" in wrong.url and "next=" in wrong.url
