"""The weights that SpotID's engines can use and does not ship: where they are, under which name and licence.

Those of the learned matchers are where kornia 0.9.0 itself looks for them.
"""

from .weights import WeightsSource


def _kornia(name: str, repository: str, filename: str, licence: str, note: str) -> WeightsSource:
    return WeightsSource(
        name=name,
        url=f"https://huggingface.co/kornia/{repository}/resolve/main/{filename}",
        filename=filename,
        record_url=f"https://huggingface.co/api/models/kornia/{repository}/tree/main",
        licence=licence,
        note=note,
    )


KNOWN: dict[str, WeightsSource] = {
    source.name: source
    for source in (
        WeightsSource(
            name="megadetector-v6-compact",
            url="https://zenodo.org/records/15398270/files/MDV6-yolov9-c.pt",
            filename="MDV6-yolov9-c.pt",
            record_url="https://zenodo.org/api/records/15398270",
            licence="AGPL-3.0",
            note="MegaDetector v6 compact (YOLOv9-c, ultralytics): animal, person, vehicle. A pickle.",
        ),
        WeightsSource(
            name="u2net",
            url="https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2net.onnx",
            filename="u2net.onnx",
            # As rembg 2.0.86 itself checks it (rembg/sessions/u2net.py).
            checksum="md5:60024c5c889badc19c04ad937298a77b",
            licence="unclear: the code of U²-Net is Apache-2.0, of its weights nothing is said (rembg issue 837)",
            note="U²-Net salient object segmentation, the default of rembg.",
        ),
        _kornia("disk", "disk", "depth-save.pth", "Apache-2.0", "Keypoints for SPOTID_LEARNED_MATCHER=disk."),
        _kornia(
            "disk-lightglue",
            "lightglue",
            "disk_lightglue.pth",
            "Apache-2.0",
            "Matches such keypoints for SPOTID_LEARNED_MATCHER=disk.",
        ),
        _kornia(
            "aliked",
            "aliked",
            "aliked-n16.pth",
            "BSD-3-Clause as LightGlue's authors say, MIT as a LICENSE file of its own authors says",
            "Keypoints for SPOTID_LEARNED_MATCHER=aliked.",
        ),
        _kornia(
            "aliked-lightglue",
            "lightglue",
            "aliked_lightglue.pth",
            "Apache-2.0",
            "Matches such keypoints for SPOTID_LEARNED_MATCHER=aliked.",
        ),
    )
}

# Both files of each learned matcher.
LEARNED = {kind: (kind, f"{kind}-lightglue") for kind in ("disk", "aliked")}


def used(learned_matcher: str) -> list[WeightsSource]:
    """What an installation uses: all but the learned matchers, and of these the one that is asked for."""
    others = {name for kind, names in LEARNED.items() if kind != learned_matcher for name in names}
    return [source for source in KNOWN.values() if source.name not in others]
