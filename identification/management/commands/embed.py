from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...errors import SpotIDError
from ...selectors.models import model_by_name
from ._progress import progress_bar


class Command(BaseCommand):
    help = (
        "Encode finished crops under a model: an .npz file with `vectors` (n×d float32, unit length) and `names`. A "
        "photo that cannot be read or encoded is named with the reason, the rest goes on, and the exit status is 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", required=True, metavar="NAME")
        parser.add_argument("--out", required=True, type=Path, metavar="FILE.npz")
        parser.add_argument(
            "--edges", type=Path, metavar="DIR", help="edge maps under the same relative names; drawn if left out"
        )
        parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="finished crops, or folders of them")

    def handle(self, *args: Any, **options: Any) -> None:
        from ...inference.embedding_files import encode_files, find_crops, save_table
        from ...inference.model_files import verify_weights

        out, edges = options["out"].absolute(), options["edges"]
        if not out.parent.is_dir():
            raise CommandError(f"There is no folder {out.parent} to write to.")
        if edges is not None and not edges.is_dir():
            raise CommandError(f"There is no folder {edges} of edge maps.")
        try:
            model = model_by_name(options["model"])
            verify_weights(model)
            crops = find_crops(options["photos"])
        except SpotIDError as error:
            raise CommandError(str(error)) from None
        except FileNotFoundError as error:
            raise CommandError(f"There is no photo {error}.") from None
        with progress_bar() as progress:
            encoded = encode_files(model, crops, edges, progress)
        try:
            save_table(out, encoded, {"model": model.name, "sha256": model.checksum})
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror or error}.") from None
        self.stdout.write(f"{len(encoded.names)} photos encoded under {model}, {model.dimension} dimensions: {out}")
        if encoded.failed:
            for name, reason in encoded.failed.items():
                self.stderr.write(f"  {name}: {reason}")
            raise CommandError(f"{len(encoded.failed)} of {len(crops)} photos have no vector.")
