from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...models import EmbeddingModel, ModelActivation
from ._progress import progress_bar

_NO_WORKER_SECONDS = 60


class Command(BaseCommand):
    help = (
        "Embedding models: list them, fetch a published network to begin a training from, import and export files, "
        "activate one (every coat is encoded under it while the old one serves), go back, set one aside."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_subparsers(dest="what", metavar="what", required=True)
        what.add_parser("list", help="models, activations, and published networks that can be fetched")
        fetch = what.add_parser("fetch", help="get a published network as a starting point")
        fetch.add_argument("name")
        take = what.add_parser("import", help="take a file in as a candidate")
        take.add_argument("file", type=Path)
        take.add_argument("--format", choices=["safetensors", "spotid"], default="safetensors")
        take.add_argument("--name", default="", help="of the model here; else as its card says")
        take.add_argument("--card", type=Path, metavar="JSON", help="stands for the card in a safetensors file")
        give = what.add_parser("export", help="write a model's file with its card in it")
        give.add_argument("name")
        give.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
        use = what.add_parser("activate", help="put a model to use; of the active one, fill in what lacks a vector")
        use.add_argument("name")
        how = use.add_mutually_exclusive_group()
        how.add_argument("--wait", action="store_true", help="until the workers are through")
        how.add_argument("--inline", action="store_true", help="encode in this process, without workers")
        what.add_parser("cancel", help="give the open activation up")
        what.add_parser("rollback", help="go back, at once, to the model that served before")
        retire = what.add_parser("retire", help="set a candidate aside")
        retire.add_argument("name")
        forget = what.add_parser("forget", help="delete the vectors of a model that is out of use")
        forget.add_argument("name")
        check = what.add_parser("check", help="load a file by its card and encode a coat, without taking it in")
        check.add_argument("file", type=Path)
        check.add_argument("--card", type=Path, metavar="JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['what']}")(options)
        except SpotIDError as error:
            raise CommandError(str(error)) from None

    def _list(self, options: dict[str, Any]) -> None:
        from ...inference.public_models import published

        for model in EmbeddingModel.objects.order_by("id"):
            trained = "trained" if model.trained else "untrained"
            self.stdout.write(
                f"{model.name}: {model.state}, {model.architecture}, {model.dimension} dimensions, {trained}, "
                f"{model.licence or 'no licence stated'}, {model.weights_file}"
            )
        for activation in ModelActivation.objects.filter(state__in=ModelActivation.OPEN).select_related("model"):
            self.stdout.write(f"{activation}, {activation.done} of {activation.total} coats encoded")
        self.stdout.write("\nCan be fetched:")
        for known in published():
            self.stdout.write(f"{known.name}: {known.licence}. {known.note}")
            self.stdout.write(f"  {known.file or f'from {known.url}'}")

    def _fetch(self, options: dict[str, Any]) -> None:
        from ...inference.public_models import fetched
        from ...services.models import model_import

        with progress_bar("B") as progress, fetched(options["name"], progress) as (file, card, explanation):
            model = model_import(path=file, card=card, acting_user=None)
        self.stdout.write(explanation)
        self._tell(model, f"`retrain --from {model.name}` begins from it.")

    def _import(self, options: dict[str, Any]) -> None:
        from ...inference.public_models import original
        from ...services.models import model_import

        path = options["file"].absolute()
        if not path.is_file():
            raise SpotIDError(f"There is no file {path}.")
        if options["format"] == "spotid":
            if options["card"]:
                raise SpotIDError("The original's checkpoint has one layout and needs no card.")
            with original(path, options["name"] or path.stem) as (file, card):
                model = model_import(path=file, card=card, acting_user=None)
        else:
            model = model_import(path=path, name=options["name"], card=_card(options["card"]), acting_user=None)
        self._tell(model, f"`models activate {model.name}` puts it to use.")

    def _tell(self, model: EmbeddingModel, then: str) -> None:
        state = "a candidate" if model.state == EmbeddingModel.State.CANDIDATE else model.get_state_display().lower()
        self.stdout.write(
            f"{model.name} is {state}: {model.architecture}, {model.dimension} dimensions, licence "
            f"{model.licence or 'not stated'}, SHA-256 {model.checksum}. {then}"
        )

    def _check(self, options: dict[str, Any]) -> None:
        from ...inference.model_files import card_in, checked_card, probe

        card = _card(options["card"]) or card_in(options["file"])
        if card is None:
            raise SpotIDError(f"{options['file'].name} carries no model card.")
        runs = probe(options["file"], checked_card(card))
        self.stdout.write(f"It loads and encodes: {runs}")

    def _export(self, options: dict[str, Any]) -> None:
        from ...selectors.models import model_by_name
        from ...services.models import model_export

        out = model_export(model=model_by_name(options["name"]), out=options["out"].absolute(), acting_user=None)
        self.stdout.write(f"{out} holds the model and its card; `models import {out.name}` takes it in elsewhere.")

    def _activate(self, options: dict[str, Any]) -> None:
        from ...selectors.models import model_by_name
        from ...services.activation import model_activate

        activation = model_activate(model=model_by_name(options["name"]), acting_user=None)
        self._go_on(activation, options)

    def _rollback(self, options: dict[str, Any]) -> None:
        from ...services.activation import model_rollback

        activation = model_rollback(acting_user=None)
        left = activation.total - activation.done
        self.stdout.write(
            f"{activation.model} is active again." + (f" {left} coats are encoded in the background." if left else "")
        )

    def _cancel(self, options: dict[str, Any]) -> None:
        from ...services.activation import activation_cancel

        activation = ModelActivation.objects.filter(state__in=ModelActivation.OPEN).first()
        if activation is None:
            raise SpotIDError("No model is being activated.")
        activation_cancel(activation=activation, acting_user=None)
        self.stdout.write(f"The activation of {activation.model} is cancelled; what is encoded is kept.")

    def _retire(self, options: dict[str, Any]) -> None:
        from ...selectors.models import model_by_name
        from ...services.models import model_retire

        model = model_retire(model=model_by_name(options["name"]), acting_user=None)
        self.stdout.write(f"{model} is retired.")

    def _forget(self, options: dict[str, Any]) -> None:
        from ...selectors.models import model_by_name
        from ...services.models import model_forget_vectors

        count = model_forget_vectors(model=model_by_name(options["name"]), acting_user=None)
        self.stdout.write(f"{count} vectors deleted. The model stays and can be activated again.")

    def _go_on(self, activation: ModelActivation, options: dict[str, Any]) -> None:
        if options["inline"]:
            from ...services.activation_run import activation_run

            with progress_bar("coat") as progress:
                while activation_run(activation_id=activation.pk, progress=progress, seconds=None):
                    activation.refresh_from_db()
                    if activation.state not in ModelActivation.OPEN:
                        break
        elif options["wait"]:
            self._wait(activation)
        else:
            left = activation.total - activation.done
            self.stdout.write(f"{left} coats are encoded in the background; then {activation.model} takes over.")
            return
        activation.refresh_from_db()
        if activation.state != ModelActivation.State.DONE:
            raise SpotIDError(f"{activation}. {activation.error}")
        self.stdout.write(f"{activation.model} is the active model.")

    def _wait(self, activation: ModelActivation) -> None:
        from ...selectors.heartbeat import heartbeat_age
        from ...services.reconcile import reconcile

        began = time.monotonic()
        with progress_bar("coat") as progress:
            while True:
                activation.refresh_from_db()
                progress(activation.done, activation.total, "")
                if activation.state not in ModelActivation.OPEN:
                    return
                age = heartbeat_age()
                if time.monotonic() - began > _NO_WORKER_SECONDS and (age is None or age > _NO_WORKER_SECONDS):
                    raise SpotIDError("No worker answers. Start one (`python3 spotid.py up`), or use --inline.")
                reconcile()
                time.sleep(2)


def _card(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpotIDError(f"{path} cannot be read as a model card: {error}") from None
    if not isinstance(values, dict):
        raise SpotIDError(f"{path} is no model card: it is a JSON object with name, config, dimension and more.")
    return values
