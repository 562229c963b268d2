"""Surveys and accounts in the admin: every change through a service, audited."""

import io
import zipfile

import pytest
from django.urls import reverse

from identification.models import AuditEntry, Decision, Image, Survey, User, Work
from identification.services.decisions import decision_record
from identification.services.individuals import individual_declare
from tests.identification import factories
from tests.identification.admin_client import act, errors, form, sightings
from tests.identification.factories import make_sighting, make_survey, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick_pictures(monkeypatch):
    crops, frame = factories.crop_files(0, 0), factories.frame_pixels(0)
    monkeypatch.setattr(factories, "crop_files", lambda coat, view: crops)
    monkeypatch.setattr(factories, "frame_pixels", lambda number: frame)


@pytest.fixture
def administrator(client):
    user = make_user("boss", superuser=True)
    client.force_login(user)
    return user


@pytest.fixture
def survey(administrator):
    return make_survey(name="Valley 2024")


class TestSurveys:
    def test_the_export_is_downloaded_and_audited(self, client, administrator, survey, settings, tmp_path):
        settings.SPOTID_HOME = tmp_path
        individual_declare(acting_user=administrator, detection=make_sighting(survey))
        response = act(client, "survey", "download", [survey])
        assert response["Content-Type"] == "application/zip"
        assert "spotid_Valley_2024.zip" in response["Content-Disposition"]
        packed = io.BytesIO(b"".join(response.streaming_content))
        with zipfile.ZipFile(packed) as archive:
            assert "leopard_matches.csv" in archive.namelist()
            assert any(name.startswith("leopard_1/") for name in archive.namelist())
        assert AuditEntry.objects.get(action="survey.export").acting_user == administrator

    def test_two_surveys_at_once_are_not_one_download(self, client, administrator, survey):
        page = act(client, "survey", "download", [survey, make_survey()])
        assert "Choose one survey" in page.content.decode()

    def test_formats_are_chosen_on_the_page_of_exports(self, client, administrator, survey):
        response = act(client, "survey", "export", [survey])
        assert response.redirect_chain[-1][0] == reverse("survey-exports", args=[survey.pk])
        response = act(client, "population", "export", [survey.population])
        assert response.redirect_chain[-1][0] == reverse("population-exports", args=[survey.population_id])
        assert "Choose one survey" in act(client, "survey", "export", [survey, make_survey()]).content.decode()

    def test_failed_photos_are_processed_again(self, client, administrator, survey):
        failed = make_sighting(survey, state="failed", reason="bad").image
        done = make_sighting(survey).image
        act(client, "survey", "retry_failed", [survey])
        assert (Work.objects.get(image=failed).state, Work.objects.get(image=done).state) == ("pending", "done")
        assert AuditEntry.objects.get(action="image.retry").object_id == failed.pk

    def test_work_and_photos_are_processed_again(self, client, administrator, survey):
        rows = [make_sighting(survey, state="failed").image for _ in range(2)]
        act(client, "work", "retry", Work.objects.filter(image=rows[0]))
        act(client, "image", "retry", rows[1:])
        assert set(Work.objects.values_list("state", flat=True)) == {"pending"}

    def test_matching_again_is_audited_and_waits_for_photos(self, client, administrator, survey):
        act(client, "survey", "match_again", [survey])
        assert AuditEntry.objects.get(action="survey.match").acting_user == administrator
        make_sighting(survey, state="pending")
        assert "not through yet" in act(client, "survey", "match_again", [survey]).content.decode()

    def test_deleting_a_survey_shows_what_goes_and_uses_the_service(self, client, administrator, survey):
        first, second = sightings(survey, 2)
        decision_record(acting_user=administrator, first=first, second=second, verdict="match")
        address = reverse("admin:identification_survey_delete", args=[survey.pk])
        assert "the files themselves stay" in client.get(address).content.decode()
        client.post(address, {"post": "yes"})
        assert not Survey.objects.exists() and not Image.objects.exists() and not Decision.objects.exists()
        assert AuditEntry.objects.get(action="survey.delete").acting_user == administrator

    def test_the_time_zone_moves_photos_whose_clock_was_read_in_it(self, client, administrator, survey):
        named = make_sighting(survey, captured_source="name").image
        own = make_sighting(survey, exif={"OffsetTimeOriginal": "+02:00"}).image
        assert form(client, "survey", survey, time_zone="Asia/Kolkata").status_code == 302
        moved, stayed = Image.objects.get(pk=named.pk), Image.objects.get(pk=own.pk)
        assert (named.captured_at - moved.captured_at).total_seconds() == 5.5 * 3600
        assert stayed.captured_at == own.captured_at
        assert AuditEntry.objects.get(action="survey.update").after == {"time_zone": "Asia/Kolkata"}

    def test_a_survey_is_made_for_a_population(self, client, administrator, survey):
        said = {
            "population": survey.population_id, "name": "Valley 2025", "time_zone": "UTC", "independence_minutes": 60,
        }  # fmt: skip
        address = reverse("admin:identification_survey_add")
        assert client.post(address, said).status_code == 302
        made = Survey.objects.get(name="Valley 2025")
        assert (made.population, made.independence_minutes) == (survey.population, 60)
        assert "already" in str(errors(client.post(address, said)))

    def test_population_and_station_are_corrected_and_audited(self, client, administrator, survey):
        station = factories.make_station(survey, "ST01")
        assert form(client, "population", survey.population, species="Panthera pardus").status_code == 302
        assert form(client, "station", station, latitude=28.5, longitude=84.1).status_code == 302
        station.refresh_from_db()
        assert (station.latitude, station.longitude) == (28.5, 84.1)
        assert "both" in str(errors(form(client, "station", station, latitude="")))
        said = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))
        assert [action for action in said if action.endswith("update")] == ["population.update", "station.update"]


class TestAccounts:
    def test_a_new_account_is_audited(self, client, administrator):
        said = {"username": "asha", "password1": "long enough 42!", "password2": "long enough 42!"}
        client.post(reverse("admin:identification_user_add"), said | {"usable_password": "true"})
        account = User.objects.get(username="asha")
        assert not account.is_staff and account.check_password("long enough 42!")
        assert AuditEntry.objects.get(action="user.create").acting_user == administrator

    def test_rights_of_others_are_changed_and_audited_and_own_ones_are_not(self, client, administrator):
        other = make_user("asha")
        form(client, "user", other, is_staff="on")
        other.refresh_from_db()
        assert other.is_staff
        assert AuditEntry.objects.get(action="user.update").after["is_staff"] is True
        form(client, "user", administrator, is_superuser=None, is_active=None)
        administrator.refresh_from_db()
        assert administrator.is_superuser and administrator.is_active

    def test_passwords_are_set_and_audited(self, client, administrator):
        other = make_user("asha")
        address = reverse("admin:auth_user_password_change", args=[other.pk])
        said = {"password1": "long enough 42!", "password2": "long enough 42!", "usable_password": "true"}
        assert client.get(address).status_code == 200
        assert client.post(address, said).status_code == 302
        other.refresh_from_db()
        assert other.check_password("long enough 42!")
        assert AuditEntry.objects.get(action="user.password").object_id == other.pk
        assert client.get(reverse("admin:password_change")).status_code == 200

    def test_members_are_added_changed_and_removed_and_audited(self, client, administrator, survey):
        other = make_user("asha")
        said = {"user": other.pk, "survey": survey.pk, "role": "reviewer"}
        assert client.post(reverse("admin:identification_membership_add"), said).status_code == 302
        membership = other.memberships.get()
        assert "already" in str(errors(client.post(reverse("admin:identification_membership_add"), said)))
        form(client, "membership", membership, role="curator", may_see_places="on")
        membership.refresh_from_db()
        assert (membership.role, membership.may_see_places) == ("curator", True)
        client.post(reverse("admin:identification_membership_delete", args=[membership.pk]), {"post": "yes"})
        assert not other.memberships.exists()
        said = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))
        assert said == ["membership.set", "membership.set", "membership.remove"]
