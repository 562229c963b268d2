"""What workers are woken for. Ids only; each task can run twice. Engines are loaded here, in the worker."""

from __future__ import annotations


def process_batch(image_ids: list[int]) -> int:
    from .services.processing import batch_process

    return batch_process(image_ids=image_ids)


def match_survey(survey_id: int) -> bool:
    from .services.matching_run import survey_match

    return survey_match(survey_id=survey_id)


def triage_survey(survey_id: int) -> bool:
    from .services.triage_run import triage_run

    return triage_run(survey_id=survey_id)


def beat() -> None:
    from .services.work import heartbeat

    heartbeat()


def activate_model(activation_id: int) -> bool:
    from .services.activation_run import activation_run

    return activation_run(activation_id=activation_id)


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
