"""What workers are woken for. Ids only; each task can run twice. Engines are loaded here, in the worker."""

from __future__ import annotations

from .services.silence import listened


@listened
def process_batch(image_ids: list[int]) -> int:
    from .services.processing import batch_process

    return batch_process(image_ids=image_ids)


@listened
def match_survey(survey_id: int) -> bool:
    from .services.matching_run import survey_match

    return survey_match(survey_id=survey_id)


@listened
def triage_survey(survey_id: int) -> bool:
    from .services.triage_run import triage_run

    return triage_run(survey_id=survey_id)


def beat() -> None:
    from .services.work import heartbeat

    heartbeat()


@listened
def activate_model(activation_id: int) -> bool:
    from .services.activation_run import activation_run

    return activation_run(activation_id=activation_id)


@listened
def calibrate_population(run_id: int) -> bool:
    from .services.calibration_run import calibration_run

    return calibration_run(run_id=run_id)


@listened
def ingest_request(request_id: int) -> bool:
    from .services.receiving_run import ingest_request_run

    return ingest_request_run(request_id=request_id)


@listened
def import_data(run_id: int) -> bool:
    from .services.imports_run import import_run

    return import_run(run_id=run_id)


@listened
def write_export(run_id: int) -> bool:
    from .exports.requests import export_run

    return export_run(run_id=run_id)


@listened
def fetch_model(name: str, user_id: int) -> bool:
    from .services.fetching import model_fetch

    return model_fetch(name=name, user_id=user_id) is not None


def train_model(run_id: int) -> bool:
    from .services.training_run import training_run

    _step_aside()
    return training_run(run_id=run_id)


def _step_aside() -> None:
    """Lower the priority of this process, which ends after its task: photos and pages come first."""
    import os

    from django.conf import settings

    if hasattr(os, "nice"):
        os.nice(settings.SPOTID_TRAINING_NICE)
