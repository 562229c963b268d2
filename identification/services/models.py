"""The register of embedding models: taking files in, giving them out, setting them aside. Audited.

Nothing here loads an engine by itself; what puts a model to use is in `activation`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.text import get_valid_filename
from django.utils.translation import gettext

from .. import permissions
from ..errors import SpotIDError
from ..models import Embedding, EmbeddingModel, EncodingFailure, ModelActivation, User
from ..selectors.models import model_before
from .audit import audit_record

Probe = Callable[[Path, Mapping[str, Any]], None]


class Card(Protocol):
    """`modelzoo.cards.ModelCard`, as far as services know it."""

    def to_dict(self) -> dict[str, Any]: ...


def administrators_only(acting_user: User | None) -> None:
    """Raise SpotIDError for an account that does not administer the installation. None is the command line."""
    if acting_user is not None and not permissions.is_administrator(acting_user):
        raise SpotIDError(gettext("Models are for administrators."))


def model_register(
    *,
    path: Path,
    card: Card | Mapping[str, Any],
    state: str = EmbeddingModel.State.CANDIDATE,
    acting_user: User | None,
    parent: EmbeddingModel | None = None,
    report: str = "",
) -> EmbeddingModel:
    """Take a weights file into the register: copied into the weights folder under a name of its own, with its card.

    `report`: the page of its evaluation, below the home folder. The same file under the same name again is the model
    that is there. Raises SpotIDError for a card of no use and for a name that another model has.
    """
    from ..inference.model_files import checked_card, file_sha256, place

    administrators_only(acting_user)
    said = checked_card(card if isinstance(card, Mapping) else card.to_dict())
    checksum = file_sha256(path)
    there = _already(said["name"], checksum, said["config"])
    if there is not None:
        return there
    file = f"{_slug(said['name'])}-{checksum[:12]}.safetensors"
    place(path, file)
    if parent is None and said["parent"]:
        parent = EmbeddingModel.objects.filter(name=said["parent"]).first()
    try:
        with transaction.atomic():
            model = EmbeddingModel.objects.create(
                name=said["name"],
                architecture=_architecture(said["config"]),
                config=said["config"],
                dimension=said["dimension"],
                weights_file=file,
                checksum=checksum,
                licence=said["licence"][:120],
                trained=said["trained"],
                evaluation=said["evaluation"],
                card=said,
                report=report,
                parent=parent,
                state=state,
            )
            audit_record(
                acting_user=acting_user,
                action="model.register",
                target=model,
                after={"name": model.name, "sha256": checksum, "state": state, "source": said["source"]},
            )
    except IntegrityError:
        there = _already(said["name"], checksum, said["config"])
        if there is None:
            raise
        return there
    return model


def free_name(name: str, checksum: str, config: Mapping[str, Any]) -> str:
    """The name, or with the beginning of the weights' SHA-256 when a model with other weights has it."""
    there = EmbeddingModel.objects.filter(name=name).first()
    if there is None or (there.checksum == checksum and there.config == config):
        return name
    return f"{name}-{checksum[:6]}"


def _already(name: str, checksum: str, config: Mapping[str, Any]) -> EmbeddingModel | None:
    there = EmbeddingModel.objects.filter(name=name).first()
    if there is not None and (there.checksum != checksum or there.config != config):
        raise SpotIDError(
            gettext("There is a model named %(name)s already, with other weights; choose another name.")
            % {"name": name}
        )
    return there


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80] or "model"


def _architecture(config: Mapping[str, Any]) -> str:
    return str(config.get("backbone") or config.get("kind") or "coatnet")[:120]


def model_import(
    *,
    path: Path,
    name: str = "",
    card: Mapping[str, Any] | None = None,
    acting_user: User | None,
    probe: Probe | None = None,
) -> EmbeddingModel:
    """Take a safetensors file in as a candidate, after its network was loaded and has encoded a coat.

    `card` stands for the one that the file carries; `name` for the card's. `probe` does the loading; without it, this
    process does. Raises SpotIDError with what is wrong: a pickle, no card, an unknown architecture, other shapes.
    """
    from ..inference import model_files

    administrators_only(acting_user)
    carried = model_files.card_in(path)
    said = card if card is not None else carried
    if said is None:
        raise SpotIDError(
            gettext(
                "%(name)s carries no model card, so nobody knows what its vectors mean. Give one: a JSON "
                "file with name, config, dimension, trained, training_data, licence and source."
            )
            % {"name": path.name}
        )
    said = model_files.checked_card({**said, **({"name": name} if name else {})})
    (probe or model_files.probe)(path, said)
    return model_register(path=path, card=said, acting_user=acting_user)


def model_upload(
    *, chunks: Iterable[bytes], file_name: str, name: str = "", acting_user: User, probe: Probe | None = None
) -> EmbeddingModel:
    """`model_import` of a file that somebody sends piece by piece. Raises SpotIDError as that does."""
    folder = Path(settings.SPOTID_WEIGHTS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=folder) as work:
        # Messages name the file as the person does; Django has stripped folders from the name.
        file = Path(work) / f"{get_valid_filename(Path(file_name).stem)[:80]}.safetensors"
        with file.open("wb") as out:
            for chunk in chunks:
                out.write(chunk)
        return model_import(path=file, name=name, acting_user=acting_user, probe=probe)


def model_download(*, model: EmbeddingModel, acting_user: User) -> BinaryIO:
    """The file of `model_export`, open for reading; nothing stays on the disk. Raises SpotIDError as that does."""
    folder_of_ours = Path(settings.SPOTID_WEIGHTS_DIR)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder_of_ours, ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "model.safetensors"
        model_export(model=model, out=out, acting_user=acting_user)
        return out.open("rb")


def model_export(*, model: EmbeddingModel, out: Path, acting_user: User | None) -> Path:
    """Write the model's file with its present card in it, to be imported elsewhere; returns the path.

    Raises SpotIDError when its weights are missing or changed, or the file cannot be written.
    """
    from ..inference import model_files

    administrators_only(acting_user)
    source = model_files.verify_weights(model)
    try:
        model_files.write_with_card(source, out, model_card(model))
    except OSError as error:
        raise SpotIDError(
            gettext("%(out)s cannot be written: %(error)s.") % {"out": out, "error": error.strerror or error}
        ) from None
    audit_record(
        acting_user=acting_user, action="model.export", target=model, after={"name": model.name, "file": out.name}
    )
    return out


def model_card(model: EmbeddingModel) -> dict[str, Any]:
    """The card as it stands: what came with the file, and what was measured since."""
    card = {name: value for name, value in model.card.items() if name != "report"}
    return {
        **card,
        "name": model.name,
        "config": model.config,
        "dimension": model.dimension,
        "trained": model.trained,
        "licence": card.get("licence") or model.licence,
        "evaluation": model.evaluation or card.get("evaluation") or {},
        "parent": model.parent.name if model.parent else card.get("parent", ""),
    }


@transaction.atomic
def model_retire(*, model: EmbeddingModel, acting_user: User | None) -> EmbeddingModel:
    """Set a candidate aside. Its file, card and vectors stay, and it can still be activated.

    Raises SpotIDError for the active model and for one that is on its way into use.
    """
    administrators_only(acting_user)
    model = EmbeddingModel.objects.select_for_update().get(pk=model.pk)
    if model.state == EmbeddingModel.State.ACTIVE:
        raise SpotIDError(gettext("%(model)s is active. Activate another model, which retires it.") % {"model": model})
    if ModelActivation.objects.filter(model=model, state__in=ModelActivation.OPEN).exists():
        raise SpotIDError(gettext("%(model)s is being activated. Cancel that first.") % {"model": model})
    if model.state == EmbeddingModel.State.RETIRED:
        return model
    before, model.state = model.state, EmbeddingModel.State.RETIRED
    model.save(update_fields=["state"])
    audit_record(
        acting_user=acting_user,
        action="model.retire",
        target=model,
        before={"state": before},
        after={"state": model.state},
    )
    return model


@transaction.atomic
def model_forget_vectors(*, model: EmbeddingModel, acting_user: User | None) -> int:
    """Delete the vectors of a model that is out of use, to have the room back; returns how many. Its file stays.

    Raises SpotIDError for the active model, for the one that a rollback goes back to, and for one on its way into use.
    """
    from ..inference.engines import drop_vector_index

    administrators_only(acting_user)
    model = EmbeddingModel.objects.select_for_update().get(pk=model.pk)
    active = EmbeddingModel.objects.filter(state=EmbeddingModel.State.ACTIVE).first()
    if active == model:
        raise SpotIDError(gettext("%(model)s is active; its vectors are needed.") % {"model": model})
    if active is not None and model_before(active) == model:
        raise SpotIDError(
            gettext("%(model)s served before %(active)s; its vectors make going back immediate.")
            % {"model": model, "active": active}
        )
    if ModelActivation.objects.filter(model=model, state__in=ModelActivation.OPEN).exists():
        raise SpotIDError(gettext("%(model)s is being activated. Cancel that first.") % {"model": model})
    EncodingFailure.objects.filter(model=model).delete()
    count, _ = Embedding.objects.filter(model=model).delete()
    drop_vector_index(model)
    audit_record(acting_user=acting_user, action="model.forget_vectors", target=model, after={"vectors": count})
    return count
