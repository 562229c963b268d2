"""Being staff opens the door of the admin, and nothing behind it: rows and rights are those of the memberships."""

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse
from django_q.models import OrmQ

from identification.models import AuditEntry, Decision, Detection, Membership, User
from identification.services.decisions import decision_record
from identification.services.individuals import individual_declare
from identification.services.media import media_path
from tests.identification import factories
from tests.identification.factories import (
    make_candidate,
    make_member,
    make_sighting,
    make_station,
    make_survey,
    make_user,
)

pytestmark = pytest.mark.django_db

SEEN = {
    "viewer": {"detection": 200, "image": 200, "individual": 200, "survey": 200, "matchedge": 403, "candidate": 403,
               "decision": 403, "membership": 403, "skippedphoto": 403},
    "reviewer": {"detection": 200, "matchedge": 200, "candidate": 200, "decision": 200, "membership": 403,
                 "ingestreport": 403},
    "curator": {"detection": 200, "matchedge": 200, "membership": 200, "skippedphoto": 200},
}  # fmt: skip
ADMINISTRATORS_ONLY = (
    *("user", "auditentry", "embeddingmodel", "heartbeat", "reviewposition", "trainingrun"),
    *("paircalibration", "calibrationrun"),
)


@pytest.fixture(autouse=True)
def _quick_pictures(monkeypatch):
    crops, frame = factories.crop_files(0, 0), factories.frame_pixels(0)
    monkeypatch.setattr(factories, "crop_files", lambda coat, view: crops)
    monkeypatch.setattr(factories, "frame_pixels", lambda number: frame)


@pytest.fixture
def survey():
    return make_survey(name="Own Valley")


@pytest.fixture
def foreign(survey):
    return make_survey(survey.population, name="Foreign Hills")


@pytest.fixture
def staff(client, survey):
    """Sign in as staff with a role in the survey."""

    def enter(role, **values):
        user = make_member(survey, role, user=make_user(f"a-{role}", is_staff=True), **values)
        client.force_login(user)
        return user

    return enter


def listed(model):
    return reverse(f"admin:identification_{model}_changelist")


def changed(model, row):
    return reverse(f"admin:identification_{model}_change", args=[row.pk])


def shown(client, model):
    return {row.pk for row in client.get(listed(model)).context["cl"].result_list}


def act(client, model, action, rows, **said):
    return client.post(
        listed(model), {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows], **said}, follow=True
    )


def test_without_staff_the_admin_is_closed(client, survey):
    client.force_login(make_member(survey, "administrator"))
    assert client.get(listed("survey")).status_code == 302


def test_staff_without_a_membership_sees_nothing(client):
    client.force_login(make_user(is_staff=True))
    make_sighting(make_survey())
    assert client.get(reverse("admin:index")).status_code == 200
    for model in ("survey", "detection", "image", "individual", *ADMINISTRATORS_ONLY):
        assert client.get(listed(model)).status_code == 403, model


@pytest.mark.parametrize("role", SEEN)
def test_each_role_opens_its_lists_and_no_others(role, client, staff):
    staff(role)
    assert {model: client.get(listed(model)).status_code for model in SEEN[role]} == SEEN[role]
    assert client.get(reverse("admin:index")).status_code == 200


@pytest.mark.parametrize("role", ["curator", "administrator"])
def test_accounts_audit_models_and_the_queue_are_for_administrators_of_the_installation(role, client, staff):
    staff(role)
    OrmQ.objects.create(key="spotid", payload="x", lock=None)
    for model in ADMINISTRATORS_ONLY:
        assert client.get(listed(model)).status_code == 403, model
    for view in ("django_q_ormq_changelist", "django_q_failure_changelist", "auth_group_changelist"):
        assert client.get(reverse(f"admin:{view}")).status_code == 403, view


def test_lists_forms_filters_and_search_hold_only_own_surveys(client, staff, survey, foreign):
    staff("curator")
    own, other = make_sighting(survey), make_sighting(foreign)
    assert shown(client, "detection") == {own.pk}
    assert shown(client, "image") == {own.image_id}
    assert shown(client, "survey") == {survey.pk}
    assert shown(client, "work") == {own.image_id}
    for model, row in (("detection", other), ("image", other.image), ("survey", foreign), ("work", other.image)):
        assert client.get(changed(model, row)).status_code == 302
    page = client.get(listed("detection")).content.decode()
    assert "Own Valley" in page and "Foreign Hills" not in page
    found = client.get(listed("detection"), {"survey": foreign.pk}).context["cl"].result_list
    assert list(found) == []
    assert shown_by(client, "image", q=other.image.relative_path) == set()


def shown_by(client, model, **query):
    return {row.pk for row in client.get(listed(model), query).context["cl"].result_list}


def test_pairs_with_a_foreign_photo_stay_hidden(client, staff, survey, foreign):
    staff("curator")
    own, also, other = make_sighting(survey), make_sighting(survey), make_sighting(foreign)
    boss = make_user("boss", superuser=True)
    inside = decision_record(acting_user=boss, first=own, second=also, verdict="unsure")
    across = decision_record(acting_user=boss, first=own, second=other, verdict="unsure")
    candidates = [make_candidate(own, also), make_candidate(own, other, rank=2)]
    assert shown(client, "matchedge") == {inside.edge_id}
    assert shown(client, "decision") == {inside.pk}
    assert shown(client, "candidate") == {candidates[0].pk}
    assert client.get(changed("matchedge", across.edge)).status_code == 302


def test_a_role_in_one_survey_gives_nothing_in_another(client, staff, survey, foreign):
    user = staff("curator")
    Membership.objects.create(user=user, survey=foreign, role="viewer")
    own, other = make_sighting(survey), make_sighting(foreign)
    page = act(client, "detection", "flank_left", [own, other]).content.decode()
    assert "may not do this" in page
    assert set(Detection.objects.values_list("flank", flat=True)) == {"right"}
    assert client.post(changed("detection", other), {"flank": "left"}).status_code == 403
    assert act(client, "survey", "download", [foreign]).get("Content-Type") != "application/zip"


def test_a_reviewer_decides_pairs_and_annotates_nothing(client, staff, survey):
    user = staff("reviewer")
    rows = [make_sighting(survey) for _ in range(2)]
    assert client.post(changed("detection", rows[0]), {"flank": "left"}).status_code == 403
    act(client, "detection", "flank_left", rows)
    assert not AuditEntry.objects.exists()
    act(client, "detection", "same_animal", rows, confirmed="yes")
    assert Decision.objects.get().acting_user == user


def test_a_reviewer_takes_back_only_own_decisions(client, staff, survey):
    rows = [make_sighting(survey) for _ in range(2)]
    decision = decision_record(acting_user=make_user("x"), first=rows[0], second=rows[1], verdict="match")
    staff("reviewer")
    assert "somebody else" in act(client, "decision", "take_back", [decision]).content.decode()
    staff("curator")
    act(client, "decision", "take_back", [decision])
    assert Decision.objects.filter(undoes=decision).exists()


def test_a_viewer_may_do_nothing(client, staff, survey):
    staff("viewer")
    row = make_sighting(survey)
    for action in ("annotate", "flank_left", "same_animal", "declare", "detach"):
        act(client, "detection", action, [row], confirmed="yes")
    for action in ("process", "match_again", "download"):
        act(client, "survey", action, [survey])
    assert not AuditEntry.objects.exists() and not Decision.objects.exists()
    assert client.get(changed("detection", row)).status_code == 200


def test_people_in_photos_are_for_curators_and_blurred_for_reviewers(client, staff, survey):
    row = make_sighting(survey, has_person=True)
    staff("viewer")
    assert shown(client, "image") == set() and shown(client, "work") == set()
    staff("reviewer")
    assert shown(client, "image") == {row.image_id}
    picture = client.get(reverse("media", args=["preview", row.image_id]))
    assert b"".join(picture) != media_path(row.image.preview).read_bytes()
    staff("curator")
    assert shown(client, "image") == {row.image_id}


class TestPlaces:
    @pytest.fixture
    def placed(self, survey):
        make_station(survey, "ST01", latitude=28.512345, longitude=84.112345)
        return make_sighting(survey, gps_latitude=28.512345, gps_longitude=84.112345)

    def test_they_are_hidden_without_the_permission(self, client, staff, survey, placed):
        staff("curator")
        for address in (
            changed("image", placed.image), changed("station", placed.image.station), changed("survey", survey),
            listed("station"), listed("image"),
        ):  # fmt: skip
            page = client.get(address).content.decode()
            assert "28.512345" not in page and placed.image.source_path not in page, address

    def test_they_are_shown_with_it_and_that_is_written_down(self, client, staff, survey, placed):
        user = staff("curator", places=True)
        assert "28.512345" in client.get(changed("image", placed.image)).content.decode()
        assert "28.512345" in client.get(changed("station", placed.image.station)).content.decode()
        entries = AuditEntry.objects.order_by("id").values_list("action", "acting_user")
        assert list(entries) == [("image.place_shown", user.pk), ("station.place_shown", user.pk)]

    @pytest.mark.parametrize(
        ("model", "lookup"),
        [
            ("image", "gps_latitude__gt"),
            ("image", "source_path__contains"),
            ("image", "survey__source_root__contains"),
            ("station", "latitude__gt"),
            ("survey", "source_root__startswith"),
            ("detection", "image__gps_latitude__gt"),
            ("matchedge", "a__image__source_path__contains"),
            ("individual", "founder__image__gps_latitude__lt"),
        ],
    )
    def test_they_cannot_be_guessed_by_filters(self, model, lookup, client, staff, placed):
        staff("curator")
        assert client.get(listed(model), {lookup: "1"}).status_code == 400

    def test_a_coordinate_is_not_changed_without_it(self, client, staff, placed):
        staff("curator")
        said = {"latitude": 1, "longitude": 1}
        assert client.post(changed("station", placed.image.station), said).status_code == 403

    def test_the_export_with_places_needs_it(self, client, staff, survey, placed, settings, tmp_path):
        settings.SPOTID_HOME = tmp_path
        individual_declare(acting_user=None, detection=placed)
        staff("curator")
        assert act(client, "survey", "download_with_places", [survey]).get("Content-Type") != "application/zip"
        response = act(client, "survey", "download", [survey])
        assert response["Content-Type"] == "application/zip"
        assert b"".join(response.streaming_content).startswith(b"PK")


class TestMembers:
    def test_a_curator_adds_members_up_to_the_own_role(self, client, staff, survey, foreign):
        staff("curator")
        other = make_user("other")
        add = reverse("admin:identification_membership_add")
        assert client.post(add, {"user": other.pk, "survey": survey.pk, "role": "reviewer"}).status_code == 302
        assert other.memberships.get().role == "reviewer"
        another = make_user("another")
        for said in (
            {"role": "administrator", "survey": survey.pk}, {"role": "viewer", "survey": foreign.pk},
            {"role": "curator", "survey": survey.pk, "may_see_places": "on"},
        ):  # fmt: skip
            assert client.post(add, {"user": another.pk, **said}).status_code == 200
        assert not another.memberships.exists()

    def test_nobody_changes_the_own_membership(self, client, staff, survey):
        user = staff("curator")
        own = user.memberships.get()
        assert client.post(changed("membership", own), {"role": "administrator"}).status_code == 403
        delete = reverse("admin:identification_membership_delete", args=[own.pk])
        assert client.post(delete, {"post": "yes"}).status_code == 403

    def test_bulk_removal_spares_those_above(self, client, staff, survey):
        staff("curator")
        above = Membership.objects.create(user=make_user(), survey=survey, role="administrator")
        below = Membership.objects.create(user=make_user(), survey=survey, role="viewer")
        act(client, "membership", "delete_selected", [above, below], post="yes")
        assert Membership.objects.filter(pk__in=[above.pk, below.pk]).count() == 2
        act(client, "membership", "delete_selected", [below], post="yes")
        assert not Membership.objects.filter(pk=below.pk).exists()


def test_a_membership_withdrawn_in_mid_session_closes_at_once(client, staff, survey):
    user = staff("curator")
    assert client.get(listed("detection")).status_code == 200
    user.memberships.all().delete()
    assert client.get(listed("detection")).status_code == 403


def test_staff_cannot_make_itself_an_administrator(client, staff):
    user = staff("administrator")
    said = {"username": user.username, "is_superuser": "on", "is_staff": "on", "is_active": "on"}
    assert client.post(changed("user", user), said).status_code == 403
    assert not User.objects.get(pk=user.pk).is_superuser
    assert client.post(reverse("admin:auth_user_password_change", args=[user.pk]), {}).status_code == 403


def test_autocomplete_offers_only_what_is_seen(client, staff, survey, foreign):
    staff("curator")
    own, other = make_sighting(survey), make_sighting(foreign)
    address = reverse("admin:autocomplete")
    said = {"app_label": "identification", "model_name": "matchedge", "field_name": "a", "term": ""}
    found = {int(row["id"]) for row in client.get(address, said).json()["results"]}
    assert own.pk in found and other.pk not in found


def test_a_curator_of_one_survey_takes_nothing_apart_that_reaches_into_another(client, staff, survey, foreign):
    """Somebody's match with a photo of a survey in which the curator has no word stays, by action and by form."""
    own, other = make_sighting(survey), make_sighting(foreign)
    decision_record(acting_user=make_user(superuser=True), first=own, second=other, verdict="match")
    staff("curator")
    data = {"action": "detach", ACTION_CHECKBOX_NAME: [own.pk], "confirmed": "yes"}
    answer = client.post(reverse("admin:identification_detection_changelist"), data, follow=True)
    assert "Nothing was changed" in answer.content.decode()
    own.refresh_from_db()
    assert own.individual is not None
    assert Decision.objects.filter(undoes__isnull=False).count() == 0


def test_taking_apart_is_the_curators_where_all_of_it_is_in_the_own_survey(staff, survey, foreign):
    from identification.errors import UndoRefused
    from identification.services.identity import detection_assign, detection_detach

    one, two = make_sighting(survey), make_sighting(survey)
    decision_record(acting_user=make_user(superuser=True), first=one, second=two, verdict="match")
    curator = staff("curator")
    assert detection_detach(acting_user=curator, detection=one) == 1
    stranger = individual_declare(acting_user=None, detection=make_sighting(foreign))
    with pytest.raises(UndoRefused):
        detection_assign(acting_user=curator, detection=one, individual=stranger)


def test_an_undo_by_form_on_a_stale_view_is_refused_with_the_present_state(survey):
    from identification.admin.pairs import MatchEdgeForm
    from identification.errors import StaleEdge

    boss = make_user(superuser=True)
    a, b = make_sighting(survey), make_sighting(survey)
    edge = decision_record(acting_user=boss, first=a, second=b, verdict="match").edge
    seen = edge.version
    decision_record(acting_user=boss, first=a, second=b, verdict="no_match")
    edge.refresh_from_db()
    form = MatchEdgeForm({"verdict": "", "version_seen": seen}, instance=edge)
    form.cleaned_data = {"verdict": "", "note": "", "version_seen": seen, "confirm_contradiction": False}
    with pytest.raises(StaleEdge):
        form.apply(boss)
    edge.refresh_from_db()
    assert edge.verdict == "no_match"


def test_a_declaration_stays_where_the_animal_is_in_another_survey_too(client, staff, survey, foreign):
    own, other = make_sighting(survey), make_sighting(foreign)
    individual = individual_declare(acting_user=None, detection=own)
    decision_record(acting_user=make_user(superuser=True), first=own, second=other, verdict="match")
    staff("curator")
    assert "may not do this" in act(client, "detection", "undeclare", [own]).content.decode()
    individual.refresh_from_db()
    assert individual.declared
    assert not AuditEntry.objects.filter(action="individual.undeclare").exists()


@pytest.mark.parametrize("target", ["nobody", "own", "foreign"])
def test_the_individual_in_the_form_reaches_into_no_other_survey(target, client, staff, survey, foreign):
    own, other, third = make_sighting(survey), make_sighting(foreign), make_sighting(survey)
    far, near = make_sighting(foreign), make_sighting(foreign)
    boss = make_user(superuser=True)
    decision_record(acting_user=boss, first=far, second=near, verdict="match")
    chosen = {"nobody": None, "own": individual_declare(acting_user=None, detection=third)}
    if target == "foreign":
        moved, said = third, Detection.objects.get(pk=far.pk).individual
    else:
        decision_record(acting_user=boss, first=own, second=other, verdict="match")
        moved, said = own, chosen[target]
    moved.refresh_from_db()
    before, decided = moved.individual_id, Decision.objects.count()
    staff("curator")
    held = client.get(changed("detection", moved)).context["adminform"].form
    data = {name: held.get_initial_for_field(field, name) for name, field in held.fields.items()}
    data = {name: value for name, value in data.items() if value not in (None, False)}
    answer = client.post(changed("detection", moved), {**data, "individual": said.pk if said else ""})
    assert answer.status_code == 200 and answer.context["errors"]
    moved.refresh_from_db()
    assert (moved.individual_id, Decision.objects.count()) == (before, decided)


def test_a_photo_is_moved_by_a_match_with_a_photo_of_the_own_survey(staff, survey, foreign):
    from identification.services.identity import detection_assign

    other, own, moved = make_sighting(foreign), make_sighting(survey), make_sighting(survey)
    made = decision_record(acting_user=make_user(superuser=True), first=other, second=own, verdict="match")
    make_candidate(moved, other)
    own.refresh_from_db()
    decision = detection_assign(acting_user=staff("curator"), detection=moved, individual=own.individual)
    assert decision.pk != made.pk
    assert {decision.edge.a_id, decision.edge.b_id} == {own.pk, moved.pk}
