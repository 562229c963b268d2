"""What is refused at the start."""

from __future__ import annotations

from identification.checks import named_weights, queue_settings


def test_the_shipped_settings_are_in_order() -> None:
    assert queue_settings(None) == []
    assert named_weights(None) == []


def test_a_queue_that_would_retry_too_early_is_refused(settings) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "retry": settings.Q_CLUSTER["timeout"] + 1}
    assert [error.id for error in queue_settings(None)] == ["spotid.E002"]
    settings.Q_CLUSTER = {"workers": 1}
    assert {error.id for error in queue_settings(None)} == {"spotid.E001"}


def test_named_weights_that_are_not_there_are_named(settings, tmp_path) -> None:
    settings.SPOTID_DETECTOR_WEIGHTS = str(tmp_path / "none.onnx")
    (error,) = named_weights(None)
    assert error.id == "spotid.E004" and "none.onnx" in error.msg
