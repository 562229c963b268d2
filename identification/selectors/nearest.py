"""The detections whose vectors are nearest to a detection's, as the database finds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction

from ..models import EmbeddingModel, Population, Triage

# With less an index scan answers fewer rows than are asked for, and misses one in five of the nearest.
_EF_SEARCH = 200

# The comparison is written as in the model's partial index, so that the planner can use it where it is worth it.
_NEAREST = """
SELECT anchor.detection_id, near.detection_id
FROM identification_embedding anchor
JOIN identification_detection asks ON asks.id = anchor.detection_id
CROSS JOIN LATERAL (
    SELECT e.detection_id, e.{vector} <=> anchor.{vector} AS distance
    FROM identification_embedding e
    JOIN identification_detection d ON d.id = e.detection_id
    JOIN identification_image i ON i.id = d.image_id
    JOIN identification_survey s ON s.id = i.survey_id
    WHERE e.model_id = {model:d} AND s.population_id = %(population)s
        AND d.category = 'animal' AND d.usable AND d.triage <> %(other)s
        AND d.image_id <> asks.image_id
        AND NOT (d.flank IN ('left', 'right') AND asks.flank IN ('left', 'right') AND d.flank <> asks.flank)
    ORDER BY e.{vector} <=> anchor.{vector}
    LIMIT %(count)s
) near
WHERE anchor.model_id = {model:d} AND anchor.detection_id = ANY(%(anchors)s)
ORDER BY anchor.detection_id, near.distance, near.detection_id
"""


def nearest_detections(
    *, model: EmbeddingModel, population: Population, anchors: Iterable[int], count: int
) -> dict[int, list[int]]:
    """For each anchor with a vector, at most `count` comparable detections of the population, nearest first.

    Not those on the anchor's own photo, nor those of a known other flank. By cosine distance of the model's vectors;
    exact where the planner reads all of them, else through the model's HNSW index, scanned on until enough rows fit.
    """
    found: dict[int, list[int]] = defaultdict(list)
    query = _NEAREST.format(vector=_vector(model), model=model.pk)
    values: dict[str, Any] = {
        "population": population.pk,
        "other": Triage.OTHER.value,
        "count": count,
        "anchors": list(anchors),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'")
        cursor.execute("SELECT set_config('hnsw.ef_search', %s, true)", [str(max(_EF_SEARCH, 2 * count))])
        cursor.execute(query, values)
        for anchor, detection in cursor.fetchall():
            found[anchor].append(detection)
    return dict(found)


def _vector(model: EmbeddingModel) -> str:
    return f"vector::{model.compared_as}({model.dimension:d})" if model.compared_as else "vector"
