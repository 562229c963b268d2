"""The admin: one module per room. Everything that people say here goes through the same services as on the pages."""

from . import (  # noqa: F401
    access,
    agreement,
    calibrations,
    detections,
    engines,
    individuals,
    links,
    models,
    pairs,
    photos,
    queue,
    review,
    stations,
    surveys,
    tokens,
    training,
    transfers,
    work,
)
