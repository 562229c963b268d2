"""Retraining in the admin: who may, the form with every setting, progress, cancel, resume, report."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse
from django_q.models import OrmQ

from identification.admin.training_form import GROUPS, SETTINGS, TrainingForm, as_toml
from identification.models import AuditEntry, EmbeddingModel, TrainingRun
from identification.services.training import training_claim, training_renew
from tests.identification.admin_client import act
from tests.identification.factories import make_heartbeat, make_member, make_population, make_survey, make_user
from tests.identification.training_set import few_pictures, make_confirmed

pytestmark = pytest.mark.django_db

LIST, ADD = "admin:identification_trainingrun_changelist", "admin:identification_trainingrun_add"


@pytest.fixture(autouse=True)
def _few_pictures(monkeypatch, offline):
    few_pictures(monkeypatch)


@pytest.fixture
def administrator(client):
    user = make_user("boss", superuser=True)
    client.force_login(user)
    return user


def of(view, run):
    return reverse(f"admin:identification_trainingrun_{view}", args=[run.pk])


def a_run(**values):
    population = values.pop("population", None) or make_population()
    return TrainingRun.objects.create(**{"population": population, "epochs": 4, "folder": "training/1", **values})


def said(**changes):
    """What a browser posts of the form as it opens."""
    form = TrainingForm()
    data = {}
    for name, field in form.fields.items():
        value = field.prepare_value(form.get_initial_for_field(field, name))
        if value is not None and value is not False:
            data[name] = "on" if value is True else value
    return {name: value for name, value in {**data, **changes}.items() if value is not None}


def test_only_administrators_see_any_of_it(client) -> None:
    run = a_run()
    client.force_login(make_member(make_survey(), "administrator", user=make_user(is_staff=True)))
    for address in (reverse(LIST), reverse(ADD), of("change", run), of("live", run), of("report", run)):
        refused = client.get(address)
        assert refused.status_code == 403, address
        assert "is for administrators of the installation" in refused.content.decode()
    for view in ("cancel", "resume"):
        assert client.post(of(view, run)).status_code == 403
    run.refresh_from_db()
    assert run.state == "pending"


class TestStarting:
    def test_with_no_population_it_says_how_to_get_one(self, client, administrator) -> None:
        assert "There is no population yet" in client.get(reverse(ADD)).content.decode()

    def test_one_of_several_populations_is_chosen_first(self, client, administrator) -> None:
        first, second = make_population("Hills"), make_population("Valley")
        page = client.get(reverse(ADD)).content.decode()
        assert f"?population={first.pk}" in page and f"?population={second.pk}" in page and "<form" in page
        assert "Retrain on Valley" in client.get(reverse(ADD), {"population": second.pk}).content.decode()

    def test_too_little_is_said_before_starting_and_refused_after_all(self, client, administrator) -> None:
        survey, _ = make_confirmed(individuals=2)
        page = client.get(reverse(ADD)).content.decode()
        assert "This cannot be trained yet" in page and "there are 2" in page and "disabled" in page
        response = client.post(f"{reverse(ADD)}?population={survey.population_id}", said())
        assert "8 individuals" in response.content.decode() and not TrainingRun.objects.exists()

    def test_warnings_come_before_and_are_kept(self, client, administrator, django_capture_on_commit_callbacks) -> None:
        survey, _ = make_confirmed()
        page = client.get(reverse(ADD)).content.decode()
        assert "Know before you start" in page and "Every photo shows the right flank" in page
        assert all(f'name="{name}"' in page for name in SETTINGS)
        with django_capture_on_commit_callbacks(execute=True):
            response = client.post(f"{reverse(ADD)}?population={survey.population_id}", said(epochs="7"), follow=True)
        run = TrainingRun.objects.get()
        assert response.redirect_chain[-1][0] == of("change", run)
        assert "Known before it started" in response.content.decode()
        assert (run.config["epochs"], run.epochs, run.requested_by) == (7, 7, administrator)
        assert set(run.config) == set(SETTINGS) - {"margin"}
        assert run.config["rgb_mean"] == [0.485, 0.456, 0.406] and run.config["train_prototypes"] is True
        assert AuditEntry.objects.get(action="training.request").acting_user == administrator
        assert OrmQ.objects.get().key == "spotid-training"

    def test_a_pasted_file_counts_instead_of_the_fields(self, client, administrator) -> None:
        survey, _ = make_confirmed()
        toml = 'loss = "triplet"\nmargin = 10.0\nepochs = 3\naugment = false\nrgb_std = [0.5, 0.5, 0.5]'
        toml += '\ntrain_data_dir = "x"'
        client.post(f"{reverse(ADD)}?population={survey.population_id}", said(toml=toml, epochs="7"))
        config = TrainingRun.objects.get().config
        assert (config["loss"], config["margin"], config["epochs"], config["augment"]) == ("triplet", 10.0, 3, False)
        assert config["rgb_std"] == [0.5, 0.5, 0.5] and "train_data_dir" not in config

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"toml": "epochs = "}, "This is no TOML"),
            ({"toml": "epoch = 3"}, "Not a setting: epoch. Settings are epochs, patience"),
            ({"toml": 'loss = "guess"'}, "guess is not one of the available choices"),
            ({"epochs": "0"}, "greater than or equal to 1"),
            ({"rgb_mean": "0.1, 0.2"}, "3 numbers between commas"),
            ({"edge_std": "0"}, "Above 0 to 10"),
            ({"accumulation": "65"}, "At most the batch size"),
            ({"test_share": "0.5"}, "1.35 together"),
            ({"learning_rate": "0"}, "Above 0 to 1"),
        ],
    )
    def test_what_cannot_be_is_said_at_its_field(self, client, administrator, changes, message) -> None:
        survey = make_survey()
        page = client.post(f"{reverse(ADD)}?population={survey.population_id}", said(**changes)).content.decode()
        assert message in page.replace("&#x27;", "'")
        assert not TrainingRun.objects.exists()

    def test_a_training_is_begun_anew_with_its_settings(self, client, administrator) -> None:
        survey, _ = make_confirmed()
        run = TrainingRun.objects.create(
            population=survey.population, state="failed", config={"train_prototypes": False, "backbone": "resnet17"}
        )
        again = f"{reverse(ADD)}?population={survey.population_id}&amp;like={run.pk}"
        assert again in client.get(of("change", run)).content.decode()
        page = client.get(again.replace("&amp;", "&")).content.decode()
        assert "backbone = &quot;resnet17&quot;\ntrain_prototypes = false" in page
        for other in ("²", "0", "x"):
            address = reverse(ADD)
            asked = {"population": survey.population_id, "like": other}
            assert "resnet17" not in client.get(address, asked).content.decode()
        TrainingRun.objects.filter(pk=run.pk).update(state="pending")
        page = client.get(reverse(ADD)).content.decode()
        assert f'href="{of("change", run)}">To training {run.pk}</a>' in page
        assert again not in client.get(of("change", run)).content.decode()

    def test_the_action_on_a_population_leads_to_the_form(self, client, administrator) -> None:
        population = make_population("Hills")
        response = act(client, "population", "retrain", [population])
        assert response.redirect_chain[-1][0] == f"{reverse(ADD)}?population={population.pk}"


class TestTheSettings:
    def test_they_are_those_of_the_training_with_the_same_defaults(self) -> None:
        from modelzoo.training.config import PATH_KEYS, TrainConfig

        ours = {name: setting.default for name, setting in SETTINGS.items() if setting.default is not None}
        theirs = TrainConfig().to_dict()
        assert set(SETTINGS) | set(PATH_KEYS) == set(theirs)
        assert ours == {name: theirs[name] for name in ours}
        assert sum(len(group) for group in GROUPS.values()) == len(SETTINGS)

    def test_what_the_form_takes_the_training_takes(self) -> None:
        from modelzoo.training.rules import checked

        for name, setting in SETTINGS.items():
            for choice, _ in setting.choices:
                assert checked(name, choice) == choice
            if setting.low is None or isinstance(setting.default, list):
                continue
            kind = float if setting.default is None else type(setting.default)
            low = setting.low if not setting.above else setting.low + 1e-6
            for value in (low, setting.high):
                checked(name, kind(value))

    def test_a_run_shows_them_as_a_file_that_can_be_pasted(self) -> None:
        config = {name: setting.default for name, setting in SETTINGS.items() if setting.default is not None}
        form = TrainingForm(_querydict(toml=as_toml(config)))
        assert form.is_valid(), form.errors
        assert form.config["rgb_mean"] == [0.485, 0.456, 0.406]


def _querydict(**values):
    from django.http import QueryDict

    found = QueryDict(mutable=True)
    for name, value in values.items():
        found[name] = value
    return found


class TestTheRun:
    def test_one_that_waits_says_so_and_has_no_curve(self, client, administrator, settings) -> None:
        run = a_run(stage="Waiting")
        page = client.get(of("change", run)).content.decode()
        assert "Waiting" in page and "Cancel the training" in page and "No worker answers" in page
        assert "<polyline" not in page and "http-equiv" in page
        settings.SPOTID_TRAINING = False
        assert "SPOTID_TRAINING=0" in client.get(of("live", run)).content.decode()
        make_heartbeat()
        settings.SPOTID_TRAINING = True
        assert "spotid-note" not in client.get(of("live", run)).content.decode()

    def test_the_moving_part_shows_epoch_time_left_and_curves(self, client, administrator) -> None:
        run = a_run(config={"epochs": 4})
        claim = training_claim(run_id=run.pk)
        rows = [{"epoch": n, "loss": None if n == 0 else 3.0 / n, "dtkap": 0.2 * n, "seconds": 90.0} for n in range(3)]
        training_renew(claim=claim, epoch=3, epochs=4, progress=0.5, stage="Epoch 3 of 4", history=rows)
        response = client.get(of("live", run))
        part = response.content.decode()
        assert "no-store" in response["Cache-Control"] and "<html" not in part and 'data-open="yes"' in part
        assert "epoch 3 of 4" in part and "about 3 minutes left" in part and 'value="50"' in part
        assert part.count("<polyline") == 2 and "DT5AP on the validation animals: 0.4 after epoch 2 of 4" in part

    def test_cancel_and_resume(self, client, administrator, django_capture_on_commit_callbacks) -> None:
        run = a_run()
        page = client.post(of("cancel", run), follow=True).content.decode()
        assert "Cancelled" in page and "Resume" in page and "Cancel the training" not in page
        assert client.get(of("cancel", run)).status_code == 405
        with django_capture_on_commit_callbacks(execute=True):
            client.post(of("resume", run))
        run.refresh_from_db()
        assert run.state == "pending" and OrmQ.objects.count() == 1
        assert "Only a cancelled or failed" in client.post(of("resume", run), follow=True).content.decode()

    def test_a_failed_one_says_why(self, client, administrator) -> None:
        page = client.get(of("change", a_run(state="failed", error="The disk is full."))).content.decode()
        assert "The disk is full." in page and "Resume" in page

    def test_what_came_of_it(self, client, administrator, settings) -> None:
        candidate = EmbeddingModel.objects.create(
            name="hills-1", architecture="x", dimension=4, weights_file="w", checksum="b" * 64
        )
        figure = {"value": 0.8, "low": 0.7, "high": 0.9}
        table = {"known": True, "queries": 3, "photos": 6, "individuals": 2, "figures": {"dt5ap": figure}}
        outcome = {
            "advice": "do not activate",
            "sentences": ["Do not activate: the new model is worse."],
            "measured": [{"name": "newly trained", "tables": {"all": {"as_seen": table}}}],
            "not_measured": {"old": "Its file is gone."},
            "parts": {"train": {"photos": 12, "individuals": 4}},
            "report": "training/1/report.html",
        }
        run = a_run(state="done", candidate=candidate, outcome=outcome)
        page = client.get(of("change", run)).content.decode()
        for text in ("Advice: do not activate", "0.80 (0.70–0.90)", "Its file is gone.", "hills-1", "6 photos of 2"):
            assert text in page
        assert client.get(of("report", run)).status_code == 404
        report = Path(settings.SPOTID_HOME) / "training/1/report.html"
        report.parent.mkdir(parents=True)
        report.write_text("<p>the figures</p>")
        response = client.get(of("report", run))
        assert b"".join(response.streaming_content) == b"<p>the figures</p>"
        assert "sandbox" in response["Content-Security-Policy"] and "script" not in response["Content-Security-Policy"]
        run.outcome = {**outcome, "report": "training/../../secret.html"}
        run.save()
        (Path(settings.SPOTID_HOME).parent / "secret.html").write_text("secret")
        assert client.get(of("report", run)).status_code == 404

    def test_what_is_not_there_is_not_found_and_nothing_is_edited(self, client, administrator) -> None:
        run = a_run()
        assert client.post(of("change", run), {"state": "done"}).status_code == 403
        assert client.get(reverse("admin:identification_trainingrun_change", args=[run.pk + 1])).status_code == 404
        assert client.get(reverse("admin:identification_trainingrun_change", args=["x"])).status_code == 404
        assert client.get(reverse("admin:identification_trainingrun_change", args=["²"])).status_code == 404
        assert client.post(reverse("admin:identification_trainingrun_delete", args=[run.pk])).status_code == 403
