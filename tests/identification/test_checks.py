"""What is refused at the start."""

from __future__ import annotations

from identification.checks import RUNTIMES, known_runtime, named_weights, queue_settings


def test_the_shipped_settings_are_in_order() -> None:
    assert queue_settings(None) == []
    assert named_weights(None) == []
    assert known_runtime(None) == []


def test_a_queue_that_would_retry_too_early_is_refused(settings) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "retry": settings.Q_CLUSTER["timeout"] + 1}
    assert [error.id for error in queue_settings(None)] == ["spotid.E002"]
    settings.Q_CLUSTER = {"workers": 1}
    assert {error.id for error in queue_settings(None)} == {"spotid.E001", "spotid.E005"}


def test_the_queue_of_trainings_is_held_to_the_same(settings) -> None:
    training = settings.Q_CLUSTER["ALT_CLUSTERS"]["spotid-training"]

    def found(**changes: object) -> list[str]:
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "ALT_CLUSTERS": {"spotid-training": {**training, **changes}}}
        return [error.id for error in queue_settings(None)]

    assert found() == []
    assert found(retry=60) == ["spotid.E002"]
    assert found(bulk=2) == ["spotid.E003"]
    assert found(daemonize_workers=True) == ["spotid.E006"]


def test_named_weights_that_are_not_there_are_named(settings, tmp_path) -> None:
    settings.SPOTID_DETECTOR_WEIGHTS = str(tmp_path / "none.onnx")
    (error,) = named_weights(None)
    assert error.id == "spotid.E004" and "none.onnx" in error.msg


def test_a_runtime_that_there_is_not_is_named(settings) -> None:
    from modelzoo import runtimes

    assert runtimes.RUNTIMES == RUNTIMES
    settings.SPOTID_RUNTIME = "onnx"
    (error,) = known_runtime(None)
    assert error.id == "spotid.E007" and "'onnx'" in error.msg and "auto, torch, openvino" in error.msg
