"""Reads of embedding models and of their way into use."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet

from ..errors import SpotIDError
from ..models import Category, Detection, Embedding, EmbeddingModel, EncodingFailure, ModelActivation, Triage


def model_by_name(name: str) -> EmbeddingModel:
    """Raises SpotIDError that lists the models there are."""
    model = EmbeddingModel.objects.filter(name=name.strip()).first()
    if model is not None:
        return model
    names = list(EmbeddingModel.objects.order_by("-id").values_list("name", flat=True)[:20])
    there = f"There are: {', '.join(names)}." if names else "There is none yet; `models import` takes one in."
    raise SpotIDError(f"There is no model named {name!r}. {there}")


def encodable() -> QuerySet[Detection]:
    """Every coat that has a crop to be encoded. One of another species is encoded when it is restored."""
    return Detection.objects.filter(category=Category.ANIMAL).exclude(crop="").exclude(triage=Triage.OTHER)


def without_vector(model: EmbeddingModel) -> QuerySet[Detection]:
    """Coats that have no vector under the model, those left out that it cannot encode."""
    own = {"detection": OuterRef("pk"), "model": model}
    return (
        encodable()
        .exclude(Exists(Embedding.objects.filter(**own)))
        .exclude(Exists(EncodingFailure.objects.filter(**own)))
    )


def model_before(active: EmbeddingModel) -> EmbeddingModel | None:
    """The model that a rollback goes back to: the one that served when this one was activated."""
    way = ModelActivation.objects.filter(model=active, state=ModelActivation.State.DONE, filling=False)
    last = way.select_related("previous").order_by("-id").first()
    return last.previous if last is not None else None
