"""Weights for the learned matchers, made on the spot and written as their authors publish them."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from modelzoo.weights import register_local

# By the names under which `modelzoo.known_weights.KNOWN` lists them.
FILES = {
    "disk": ("depth-save.pth", "disk_lightglue.pth"),
    "aliked": ("aliked-n16.pth", "aliked_lightglue.pth"),
}


def write_weights(folder: Path, kind: str, *, seed: int = 0) -> tuple[tuple[Path, str], tuple[Path, str]]:
    """A random extractor, and a LightGlue whose layers pass descriptors on, so that it joins those that are alike.

    Both are registered in the folder. Returns file and SHA-256 of each.
    """
    from kornia.feature import ALIKED, DISK, LightGlue

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        extractor = DISK() if kind == "disk" else ALIKED("aliked-n16")
        glue = LightGlue(None, input_dim=128)
        state = extractor.state_dict()
        if kind == "aliked":
            # As kornia begins them, they are all positive, and every descriptor points the same way.
            state["desc_head.agg_weights"] = torch.randn_like(state["desc_head.agg_weights"])
    extractor_file, glue_file = (folder / name for name in FILES[kind])
    torch.save({"extractor": state, "epoch": 3} if kind == "disk" else state, extractor_file)
    torch.save(_joining(glue, 60.0 if kind == "disk" else 600.0), glue_file)
    return tuple((file, register_local(file, folder).sha256) for file in (extractor_file, glue_file))  # type: ignore[return-value]


def _joining(glue: torch.nn.Module, steepness: float) -> dict[str, torch.Tensor]:
    """The last linear map of every layer is zero, so that its input passes; similarity is a steep cosine."""
    state = {name: torch.zeros_like(value) for name, value in glue.state_dict().items()}
    state["input_proj.weight"] = torch.eye(256, 128)
    for name, value in glue.named_parameters():
        if name.endswith(("Wqkv.weight", "to_qk.weight", "ffn.0.weight", "posenc.Wr.weight")):
            state[name] = value.detach().clone()
    for layer in range(9):
        state[f"log_assignment.{layer}.final_proj.weight"] = steepness * torch.eye(256)
        state[f"log_assignment.{layer}.matchability.bias"] = torch.full((1,), 10.0)
    del state["confidence_thresholds"]
    # The authors' files number the attentions, kornia's network its layers.
    return {re.sub(r"^transformers\.(\d+)\.(self_attn|cross_attn)\.", r"\2.\1.", name): v for name, v in state.items()}
