"""System checks: the queue's settings must be the safe ones (the defaults retry for ever after 60 seconds)."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import Error, register

TRAINING_CLUSTER = "spotid-training"
# As in `modelzoo.runtimes`, which is not loaded for this; a test holds them together.
RUNTIMES = ("auto", "torch", "openvino")
# As in `modelzoo.local.learned`, likewise.
LEARNED_MATCHERS = ("disk", "aliked")
_MUST_BE_SET = ("timeout", "retry", "max_attempts", "bulk", "queue_limit", "ack_failures")


@register()
def queue_settings(app_configs: Any, **kwargs: Any) -> list[Error]:
    errors = _errors_of("Q_CLUSTER", settings.Q_CLUSTER)
    others = settings.Q_CLUSTER.get("ALT_CLUSTERS", {})
    for name, queue in others.items():
        errors += _errors_of(f"Q_CLUSTER of {name}", queue)
    training = others.get(TRAINING_CLUSTER)
    if training is None:
        errors.append(Error(f"Q_CLUSTER must have a cluster {TRAINING_CLUSTER!r} in ALT_CLUSTERS.", id="spotid.E005"))
    elif training.get("daemonize_workers", True) or training.get("workers") != 1:
        errors.append(
            Error(
                f"Q_CLUSTER of {TRAINING_CLUSTER}: one worker that is no daemon, because a training may have children.",
                id="spotid.E006",
            )
        )
    return errors


def _errors_of(title: str, queue: dict[str, Any]) -> list[Error]:
    missing = [name for name in _MUST_BE_SET if name not in queue]
    errors = [Error(f"{title} must set {name!r}: its default is unsafe.", id="spotid.E001") for name in missing]
    if missing:
        return errors
    waiting = queue["queue_limit"] / max(1, int(queue["workers"])) + 2
    if queue["retry"] < queue["timeout"] * waiting:
        errors.append(
            Error(
                f"{title}: retry must be at least timeout × (queue_limit / workers + 2), because its clock starts "
                "when a task is fetched.",
                id="spotid.E002",
            )
        )
    if queue["bulk"] != 1:
        errors.append(Error(f"{title}: bulk must be 1.", id="spotid.E003"))
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


@register()
def known_runtime(app_configs: Any, **kwargs: Any) -> list[Error]:
    """A worker would only find out at its first photo."""
    if settings.SPOTID_RUNTIME in RUNTIMES:
        return []
    hint = "Leave the setting out to take what is fastest on this machine."
    said = f"SPOTID_RUNTIME is {settings.SPOTID_RUNTIME!r}; it must be one of {', '.join(RUNTIMES)}."
    return [Error(said, hint=hint, id="spotid.E007")]


@register()
def known_learned_matcher(app_configs: Any, **kwargs: Any) -> list[Error]:
    if settings.SPOTID_LEARNED_MATCHER in ("", *LEARNED_MATCHERS):
        return []
    named, hint = settings.SPOTID_LEARNED_MATCHER, "Leave the setting out to compare coats by RootSIFT alone."
    said = f"SPOTID_LEARNED_MATCHER is {named!r}; it must be one of {', '.join(LEARNED_MATCHERS)}."
    return [Error(said, hint=hint, id="spotid.E008")]
