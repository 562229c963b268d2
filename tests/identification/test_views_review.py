"""The review by photo: what is shown, decided, taken back, and refused."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import (
    Candidate,
    Decision,
    Detection,
    EmbeddingModel,
    Flank,
    Individual,
    MatchEdge,
    ReviewLease,
    ReviewPosition,
    Role,
    Survey,
    User,
    Verdict,
)
from identification.services.decisions import decision_record
from identification.services.individuals import individual_declare
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def reviewed() -> tuple[Client, User, Survey, list[list[Detection]]]:
    """A reviewer at work on three animals with three photos each."""
    survey, animals = make.make_reviewable_survey(individuals=3, photos=3)
    user = make.make_member(survey, Role.REVIEWER)
    ReviewPosition.objects.create(user=user, survey=survey, mode="photo")
    client = Client()
    client.force_login(user)
    return client, user, survey, animals


def page(client: Client, survey: Survey, query: str = ""):  # type: ignore[no-untyped-def]
    return client.get(reverse("review", args=[survey.pk]) + query)


def decide(client: Client, survey: Survey, anchor: Detection, candidate: Detection, verdict: str, **form: object):  # type: ignore[no-untyped-def]
    data = {"anchor": anchor.pk, "candidate": candidate.pk, "version": 0, "verdict": verdict, **form}
    return client.post(reverse("review-decide", args=[survey.pk]), data)


def shown(response) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    """Ids of the anchor and the candidate that the page shows."""
    return response.context["state"].anchor.pk, response.context["page"].offer.detection.pk


def test_an_empty_survey_says_that_there_is_nothing_to_compare() -> None:
    survey = make.make_survey()
    client = Client()
    client.force_login(make.make_member(survey))
    response = page(client, survey)
    assert response.status_code == 200
    assert "nothing to compare yet" in response.content.decode()


def test_the_first_photo_is_shown_beside_its_best_candidate(reviewed) -> None:
    client, _, survey, animals = reviewed
    response = page(client, survey)
    assert shown(response) == (animals[0][0].pk, animals[0][1].pk)
    text = response.content.decode()
    assert "93 %" in text and "probably the same animal" in text
    assert "55 points agree" in text
    assert "1 hour apart" in text


def test_after_a_match_the_next_candidate_is_shown_and_what_follows_is_not_asked(reviewed) -> None:
    client, user, survey, animals = reviewed
    response = decide(client, survey, animals[0][0], animals[0][1], "match")
    assert response.status_code == 302
    following = client.get(response.url)
    assert shown(following) == (animals[0][0].pk, animals[0][2].pk)
    assert [known.pk for known in following.context["page"].known] == [animals[0][1].pk]
    decide(client, survey, animals[0][0], animals[0][2], "match")
    decision = Decision.objects.latest("id")
    assert (decision.acting_user, decision.anchor, decision.probability_shown) == (user, animals[0][0], 0.88)
    # Photos 1 and 2 of the animal now follow from each other; only the strangers are left to ask about.
    for anchor in animals[0][1:]:
        offers = page(client, survey, f"?anchor={anchor.pk}").context["state"].offers
        assert {offer.detection.pk for offer in offers} <= {animals[1][0].pk, animals[2][0].pk}


def test_after_the_last_candidate_comes_the_next_photo(reviewed) -> None:
    client, _, survey, animals = reviewed
    for candidate, verdict in ((animals[0][1], "match"), (animals[0][2], "unsure"), (animals[1][0], "no_match")):
        response = decide(client, survey, animals[0][0], candidate, verdict)
    assert shown(client.get(response.url))[0] != animals[0][0].pk


def test_leaving_and_coming_back_resumes_at_the_same_photo(reviewed) -> None:
    client, user, survey, animals = reviewed
    first = shown(page(client, survey))[0]
    page(client, survey, f"?anchor={animals[1][1].pk}")
    assert shown(page(client, survey))[0] == first, "looking at another one changes nothing"
    decide(client, survey, animals[1][1], animals[1][2], "match", explicit="on")
    other = Client()
    other.force_login(user)
    assert shown(page(other, survey))[0] == animals[1][1].pk
    client.post(reverse("review-undo", args=[survey.pk]))
    assert shown(page(other, survey))[0] == animals[1][1].pk


def test_next_puts_the_photo_off_and_the_end_page_offers_it_again(reviewed) -> None:
    client, user, survey, animals = reviewed
    everything = [detection for animal in animals for detection in animal]
    seen = []
    for _ in everything:
        anchor = shown(page(client, survey))[0]
        seen.append(anchor)
        client.post(reverse("review-pass", args=[survey.pk]), {"anchor": anchor})
    assert sorted(seen) == sorted(detection.pk for detection in everything)
    end = page(client, survey)
    assert "you have put off" in end.content.decode()
    assert len(end.context["passed"]) == 9
    client.post(reverse("review-return", args=[survey.pk]), {"anchor": animals[2][0].pk})
    assert shown(page(client, survey))[0] == animals[2][0].pk
    client.post(reverse("review-return", args=[survey.pk]))
    assert not ReviewPosition.objects.get(user=user).passed.exists()


def test_the_end_of_the_order_by_photo_lists_what_stands_alone_the_likeliest_first(reviewed, settings) -> None:
    client, _, survey, animals = reviewed
    settings.SPOTID_CANDIDATES = 1
    for animal in animals:
        for anchor in animal:
            while (found := page(client, survey, f"?anchor={anchor.pk}").context["state"]).offers:
                if found.anchor != anchor:
                    break
                decide(client, survey, anchor, found.offers[0].detection, "unsure", explicit="on")
    end = page(client, survey)
    assert "Perhaps a missed match" in end.content.decode()
    likely = [one.probability for one in end.context["alone"]]
    assert len(likely) > 1 and likely == sorted(likely, reverse=True)


def test_a_photo_of_another_survey_cannot_be_put_off_here(reviewed) -> None:
    client, user, survey, _ = reviewed
    stranger = make.make_sighting(make.make_survey())
    make.make_member(stranger.image.survey, user=user)
    response = client.post(reverse("review-pass", args=[survey.pk]), {"anchor": stranger.pk})
    assert response.status_code == 404


def test_undo_takes_back_says_what_followed_and_shows_the_pair_again(reviewed) -> None:
    client, _, survey, animals = reviewed
    decide(client, survey, animals[0][0], animals[0][1], "match")
    decide(client, survey, animals[0][0], animals[0][2], "match")
    asked = client.post(reverse("review-undo", args=[survey.pk]), follow=True)
    assert "The 3 photos come apart into 2 + 1" in asked.content.decode(), "asked first, where an animal comes apart"
    assert Decision.objects.count() == 2
    response = client.post(reverse("review-undo", args=[survey.pk]), {"sure": "on"}, follow=True)
    assert shown(response) == (animals[0][0].pk, animals[0][2].pk)
    assert "come apart into 2 + 1 photos" in response.content.decode()
    assert Individual.objects.get(retired=False).detections.count() == 2
    client.post(reverse("review-undo", args=[survey.pk]))
    assert not Individual.objects.filter(retired=False).exists()
    response = client.post(reverse("review-undo", args=[survey.pk]), follow=True)
    assert "no decision of yours left" in response.content.decode()


def test_undo_never_takes_back_what_somebody_else_decided(reviewed) -> None:
    client, _, survey, animals = reviewed
    decision_record(
        acting_user=make.make_member(survey),
        first=animals[0][0],
        second=animals[0][1],
        verdict=Verdict.MATCH,
        anchor=animals[0][0],
    )
    client.post(reverse("review-undo", args=[survey.pk]))
    assert MatchEdge.objects.get().verdict == Verdict.MATCH


def test_the_second_of_two_reviewers_gets_409_with_the_present_state(reviewed) -> None:
    client, _, survey, animals = reviewed
    other = make.make_member(survey)
    decision_record(
        acting_user=other, first=animals[0][0], second=animals[0][1], verdict=Verdict.NO_MATCH, anchor=animals[0][0]
    )
    response = decide(client, survey, animals[0][0], animals[0][1], "match")
    assert response.status_code == 409
    text = response.content.decode()
    assert "Somebody was quicker" in text and "Not a match" in text
    assert MatchEdge.objects.get().verdict == Verdict.NO_MATCH
    again = decide(client, survey, animals[0][0], animals[0][1], "match", version=response.context["stale"].version)
    assert again.status_code == 302
    assert MatchEdge.objects.get().verdict == Verdict.MATCH


def test_a_contradiction_is_shown_and_recorded_only_when_confirmed(reviewed) -> None:
    client, _, survey, animals = reviewed
    a, b, c = animals[0]
    decide(client, survey, a, b, "match")
    decide(client, survey, b, c, "no_match")
    response = decide(client, survey, a, c, "match")
    assert response.status_code == 409
    text = response.content.decode()
    assert "contradicts earlier decisions" in text
    assert [(pair.a.pk, pair.b.pk) for pair in response.context["clash"].pairs] == [(b.pk, c.pk)]
    assert Decision.objects.count() == 2
    assert not MatchEdge.objects.filter(a=a, b=c, verdict="match").exists()
    confirmed = decide(client, survey, a, c, "match", confirm="on")
    assert confirmed.status_code == 302
    assert Individual.objects.get(retired=False).detections.count() == 2, "nothing is merged silently"
    conflicts = client.get(reverse("conflict-list"))
    assert "Yet these matches join them" in conflicts.content.decode()
    (conflict,) = conflicts.context["conflicts"]
    assert {photo.pk for photo in conflict.photos} == {a.pk, b.pk, c.pk}
    assert {(pair.a.pk, pair.b.pk) for pair in conflict.path} == {(a.pk, b.pk), (a.pk, c.pk)}


def test_refusing_a_pair_that_matches_join_shows_those_matches(reviewed) -> None:
    client, _, survey, animals = reviewed
    a, b, c = animals[0]
    decide(client, survey, a, b, "match")
    decide(client, survey, b, c, "match")
    response = decide(client, survey, a, c, "no_match")
    assert response.status_code == 409
    assert [(pair.a.pk, pair.b.pk) for pair in response.context["clash"].path] == [(a.pk, b.pk), (b.pk, c.pk)]
    assert all(pair.may_undo for pair in response.context["clash"].path)


def test_two_flanks_that_people_named_are_refused_with_words(reviewed) -> None:
    client, _, survey, animals = reviewed
    Detection.objects.filter(pk=animals[0][0].pk).update(flank=Flank.LEFT, flank_by_person=True)
    Detection.objects.filter(pk=animals[0][1].pk).update(flank=Flank.RIGHT, flank_by_person=True)
    response = decide(client, survey, animals[0][0], animals[0][1], "match")
    assert "cannot be compared" in client.get(response.url).content.decode()
    assert not Decision.objects.exists()


@pytest.mark.parametrize("mode", ["photo", "queue"])
def test_an_incomparable_pair_is_not_asked_again_until_it_is_taken_back(reviewed, mode: str) -> None:
    client, user, survey, _ = reviewed
    ReviewPosition.objects.filter(user=user).update(mode=mode)
    response = page(client, survey)
    assert 'value="incomparable" data-keys="x"' in response.content.decode()
    a, b = (Detection.objects.get(pk=pk) for pk in sorted(_pair_on(response)))
    decide(client, survey, a, b, "incomparable")
    edge = MatchEdge.objects.get()
    assert ({edge.a_id, edge.b_id}, edge.verdict) == ({a.pk, b.pk}, Verdict.INCOMPARABLE)
    assert not Individual.objects.exists(), "it neither joins nor parts"
    after = page(client, survey, f"?anchor={a.pk}&offer={b.pk}" if mode == "photo" else f"?pair={a.pk}-{b.pk}")
    assert _pair_on(after) != {a.pk, b.pk}
    undone = client.post(reverse("review-undo", args=[survey.pk]), follow=True)
    assert "Taken back: Incomparable. The pair is open again." in undone.content.decode()
    assert _pair_on(undone) == {a.pk, b.pk}


def _pair_on(response) -> set[int]:  # type: ignore[no-untyped-def]
    """The two photos that a page of either order asks about."""
    asked = response.context["page"]
    return {asked.left.detection.pk, asked.right.detection.pk} if hasattr(asked, "left") else set(shown(response))


@pytest.mark.parametrize(
    "form", [{"verdict": "maybe"}, {"verdict": ""}, {"version": "x"}, {"anchor": "-1"}, {"candidate": ""}]
)
def test_what_the_page_cannot_send_changes_nothing(reviewed, form: dict[str, str]) -> None:
    client, _, survey, animals = reviewed
    valid = {"anchor": animals[0][0].pk, "candidate": animals[0][1].pk, "version": 0, "verdict": "match"}
    response = client.post(reverse("review-decide", args=[survey.pk]), valid | form)
    assert response.status_code == 302
    assert not Decision.objects.exists()


def test_a_pair_with_a_photo_of_a_survey_that_is_not_hers_to_decide_is_not_there(reviewed) -> None:
    client, user, survey, animals = reviewed
    neighbour = make.make_survey(survey.population)
    foreign = make.make_sighting(neighbour)
    make.make_candidate(animals[0][0], foreign, rank=9, probability=0.99)
    assert decide(client, survey, animals[0][0], foreign, "match").status_code == 404
    make.make_member(neighbour, Role.VIEWER, user=user)
    assert decide(client, survey, animals[0][0], foreign, "match").status_code == 404
    assert foreign.pk not in {offer.detection.pk for offer in page(client, survey).context["state"].offers}
    user.memberships.filter(survey=neighbour).update(role=Role.REVIEWER)
    assert decide(client, survey, animals[0][0], foreign, "match").status_code == 302


def test_the_similarity_of_vectors_is_told_only_where_it_says_something(reviewed) -> None:
    client, _, survey, _ = reviewed
    Candidate.objects.update(similarity=0.87)
    model = EmbeddingModel.objects.create(
        name="net",
        architecture="net",
        dimension=4,
        weights_file="net",
        checksum="0" * 64,
        state="active",
        trained=False,
    )
    assert "0.87" not in page(client, survey).content.decode()
    EmbeddingModel.objects.filter(pk=model.pk).update(trained=True)
    assert "similarity 0.87" in page(client, survey).content.decode()


def test_photos_of_a_foreign_survey_are_not_among_what_follows(reviewed) -> None:
    client, _, survey, animals = reviewed
    foreign = make.make_sighting(make.make_survey(survey.population))
    decision_record(acting_user=None, first=animals[0][0], second=foreign, verdict=Verdict.MATCH)
    assert page(client, survey).context["page"].known == []


def test_forms_without_a_token_are_refused(reviewed) -> None:
    _, user, survey, animals = reviewed
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert decide(client, survey, animals[0][0], animals[0][1], "match").status_code == 403
    assert not Decision.objects.exists()


def test_the_whole_photo_is_not_offered_where_nothing_has_looked_for_people_yet(reviewed) -> None:
    client, _, survey, animals = reviewed
    image = animals[0][0].image
    image.detector = ""
    image.save()
    text = page(client, survey).content.decode()
    assert reverse("media", args=["preview", image.pk]) not in text
    assert reverse("media", args=["crop", animals[0][0].pk]) in text
    assert reverse("media", args=["preview", animals[0][1].image_id]) in text


def test_the_views_work_without_a_script(reviewed) -> None:
    client, _, survey, animals = reviewed
    text = page(client, survey, "?view=edges").content.decode()
    assert f'<img src="{reverse("media", args=["edges", animals[0][0].pk])}"' in text
    assert page(client, survey, "?view=nonsense").context["view"] == "crop"


def test_declaring_an_animal_and_naming_a_flank_lead_back_to_the_pair(reviewed) -> None:
    client, _, survey, animals = reviewed
    here = reverse("review", args=[survey.pk]) + f"?anchor={animals[0][0].pk}"
    response = client.post(reverse("detection-declare", args=[animals[0][0].pk]), {"next": here})
    assert response.url == here
    assert Individual.objects.get().declared
    response = client.post(
        reverse("detection-annotate", args=[animals[0][0].pk]), {"flank": "left", "next": "https://evil.example/"}
    )
    assert response.url == reverse("photo-detail", args=[animals[0][0].image_id])
    assert Detection.objects.get(pk=animals[0][0].pk).flank == Flank.LEFT


def test_the_page_asks_the_database_as_often_for_many_photos_as_for_few(django_assert_max_num_queries) -> None:
    survey, _ = make.make_reviewable_survey(individuals=5, photos=4)
    client = Client()
    client.force_login(make.make_member(survey))
    client.post(reverse("review-mode", args=[survey.pk]), {"mode": "photo"})
    page(client, survey)
    with django_assert_max_num_queries(32):  # five of them lease what is shown
        assert page(client, survey).status_code == 200


def test_a_declaration_is_offered_back_only_to_those_who_may_take_it_back() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    anchor = animals[0][0]
    individual = individual_declare(acting_user=make.make_member(survey), detection=anchor)
    page = reverse("review", args=[survey.pk]) + f"?anchor={anchor.pk}"
    offer = reverse("individual-undeclare", args=[individual.pk])
    assert offer not in client_of(survey, Role.REVIEWER).get(page).content.decode()
    ReviewLease.objects.all().delete()
    assert offer in client_of(survey, Role.CURATOR).get(page).content.decode()


def test_an_animal_whose_other_photos_are_hidden_is_not_said_to_be_seen_once() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    anchor = animals[0][0]
    page = reverse("review", args=[survey.pk]) + f"?anchor={anchor.pk}"
    individual_declare(acting_user=None, detection=anchor)
    client = client_of(survey)
    assert "was seen once so far" in client.get(page).content.decode()
    match(None, anchor, make.make_sighting(make.make_survey(survey.population)))
    text = client.get(page).content.decode()
    assert "was seen once" not in text and "the only photo of" in text


def test_a_picture_that_is_set_aside_leads_back_to_the_same_pair(reviewed) -> None:
    client, _, survey, _ = reviewed
    response = page(client, survey)
    anchor, candidate = shown(response)
    back = reverse("review", args=[survey.pk]) + f"?anchor={anchor}&amp;offer={candidate}"
    forms = response.content.decode().split(f'value="{back}"')
    assert len(forms) - 1 == 6, "a menu of reasons, a field of one's own, and the flanks, on either side"
