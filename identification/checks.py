"""System checks: the queue's settings must be the safe ones (the defaults retry for ever after 60 seconds)."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import Error, register


@register()
def queue_settings(app_configs: Any, **kwargs: Any) -> list[Error]:
    queue = settings.Q_CLUSTER
    errors = []
    for name in ("timeout", "retry", "max_attempts", "bulk", "queue_limit", "ack_failures"):
        if name not in queue:
            errors.append(Error(f"Q_CLUSTER must set {name!r}: its default is unsafe.", id="spotid.E001"))
    if not errors:
        waiting = queue["queue_limit"] / max(1, int(queue["workers"])) + 2
        if queue["retry"] < queue["timeout"] * waiting:
            errors.append(
                Error(
                    "Q_CLUSTER: retry must be at least timeout × (queue_limit / workers + 2), because its clock starts "
                    "when a task is fetched.",
                    id="spotid.E002",
                )
            )
        if queue["bulk"] != 1:
            errors.append(Error("Q_CLUSTER: bulk must be 1.", id="spotid.E003"))
    return errors


@register()
def named_weights(app_configs: Any, **kwargs: Any) -> list[Error]:
    """Weights that the administrator names must be there: a worker would only find out photo by photo."""
    errors = []
    for name in ("SPOTID_DETECTOR_WEIGHTS", "SPOTID_SEGMENTER_WEIGHTS"):
        named = getattr(settings, name)
        if named and not Path(named).expanduser().is_file():
            hint = "Put the file there, name another one, or leave the setting out to use the next best engine."
            errors.append(Error(f"{name} names {named}, which is no file.", hint=hint, id="spotid.E004"))
    return errors
