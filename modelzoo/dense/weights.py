"""Dense weights on disk: half precision, with the model card in the file itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from modelzoo.cards import CARD_KEY, ModelCard, read_card
from modelzoo.dense.bank import Bank
from modelzoo.dense.network import DenseConfig, DenseNet, initial_network
from modelzoo.dense.training import DenseTraining, settled_statistics
from modelzoo.network import load_weights, save_weights
from modelzoo.weights import WeightsError


def save_dense(path: Path, network: DenseNet, card: ModelCard) -> str:
    """Writes weights and card; returns the SHA-256 of the file."""
    state = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    return save_weights(path, state, {CARD_KEY: card.to_json()})


def open_dense(path: Path, sha256: str | None = None) -> DenseNet:
    """The network of a file, in evaluation mode. sha256: the registered one; without it the file is taken as it is.

    Raises WeightsError for a file that is missing, differs from its SHA-256 or holds no dense descriptors.
    """
    card = read_card(path)
    if card is None:
        raise WeightsError(f"{path} has no model card, so nothing says what network its weights belong to")
    try:
        network = DenseNet(DenseConfig.from_dict(card.config))
        state = load_weights(path, sha256=sha256 or hashlib.sha256(path.read_bytes()).hexdigest())
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except (ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path} holds no dense descriptors: {error}") from error
    return network.eval()


def untrained_dense(config: DenseConfig, seed: int, bank: Bank) -> DenseNet:
    """The control: random weights, with the statistics of its batch norms taken from training windows of a bank."""
    training = DenseTraining(seed=seed, network=config, autocast=False)
    return settled_statistics(initial_network(config, seed), bank, training)


def parameters(network: torch.nn.Module) -> int:
    """How many numbers were learned."""
    return sum(p.numel() for p in network.parameters())
