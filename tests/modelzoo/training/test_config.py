"""Settings of a training run, as people write them."""

import json

import pytest

from modelzoo.network import EmbeddingConfig
from modelzoo.training.config import PATH_KEYS, TrainConfig
from modelzoo.training.rules import RULES

ORIGINAL = {
    "train_data_dir": "data/train",
    "test_data_dir": "data/test",
    "mask_only": False,
    "train_binary_mask_dir": "data/train_edges",
    "test_binary_mask_dir": "data/test_edges",
    "method": "cosface",
    "number_embedding_dimensions": 1024,
    "resize_width": 512,
    "resize_height": 256,
    "batch_size": 64,
    "learning_rate": 0.0005,
    "epochs": 30,
    "device": "cuda",
    "verbose": True,
    "backbone_model": "resnet18",
    "margin": 0.28,
    "max_k": 5,
    "save_path": "weights/best.pth",
    "num_last_layers_to_train": 2,
    "mean_normalize": [0.485, 0.456, 0.406],
    "std_normalize": [0.229, 0.224, 0.225],
    "mean_normalize_binary_mask": [0.456],
    "std_normalize_binary_mask": [0.225],
    "train_all_layers": True,
    "max_images_individual_leopard_sampler": 3,
    "apply_dropout_pixels": False,
    "apply_augmentations": True,
    "lr_scheduler": False,
}


def test_nothing_said_is_the_papers_setting():
    config = TrainConfig.from_toml("")
    assert config == TrainConfig()
    assert (config.width, config.height, config.dimension, config.batch_size) == (512, 256, 1024, 64)
    assert (config.loss, config.margin, config.scale, config.images_per_identity) == ("adaptive_cosface", 0.28, 64, 4)
    assert (config.learning_rate, config.lr_step, config.lr_gamma) == (0.001, 5, 0.7)
    assert config.embedding_config() == EmbeddingConfig()


def test_toml_round_trips_and_names_every_setting(tmp_path):
    config = TrainConfig(
        backbone="resnet18", margin=1e-5, train_prototypes=False, save_path='ü "q" \\ 🐆', edge_std=(0.5,)
    )
    path = tmp_path / "train.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert TrainConfig.from_toml(path) == config
    assert {line.split(" = ")[0] for line in config.to_toml().splitlines()} == set(RULES)


def test_dictionary_survives_json():
    config = TrainConfig(pipeline="edges", rotation=0)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_settings_are_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown training settings: colour; known are .*batch_size"):
        TrainConfig.from_toml("colour = 3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 0", "epochs: a whole number from 1 to 10000, not 0"),
        ("epochs = 2.5", "epochs: a whole number"),
        ("epochs = true", "epochs: a whole number"),
        ('epochs = "3"', "epochs: a whole number"),
        ("learning_rate = 0", "learning_rate: a number above 0"),
        ("learning_rate = nan", "learning_rate: a number above 0"),
        ("augment = 1", "augment: true or false, not 1"),
        ('loss = "softmax"', "loss: one of triplet, contrastive, arcface, cosface, adaptive_cosface, not 'softmax'"),
        ('pipeline = "rgb"', "pipeline: one of crop_rgb,"),
        ('precision = "fp16"', "precision: one of auto, bf16, float32"),
        ("rgb_mean = [0.5]", "rgb_mean: 3 numbers"),
        ("edge_std = [0.0]", "edge_std: 1 number above 0"),
        ("crop_share = 0.5", "crop_share: a number from 0 to 0.45"),
        ("backbone = ''", "backbone: a name"),
        ("train_share = 0.9", "train_share, validation_share and test_share: together 1"),
        ("batch_size = 4\naccumulation = 5", "accumulation: at most batch_size"),
        ("epochs = ", "no TOML"),
    ],
)
def test_what_a_setting_may_not_be_is_said_with_its_name(text, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig.from_toml(text)


def test_every_setting_of_the_original_has_its_place():
    config = TrainConfig.from_original(ORIGINAL)
    assert config == TrainConfig(
        train_data_dir="data/train",
        test_data_dir="data/test",
        train_edges_dir="data/train_edges",
        test_edges_dir="data/test_edges",
        learning_rate=0.0005,
        epochs=30,
        backbone="resnet18",
        max_k=5,
        save_path="weights/best.pth",
        num_last_layers=2,
        images_per_identity=3,
        lr_scheduler=False,
    )


def test_settings_of_the_original_that_change_the_pipeline():
    without = {"train_binary_mask_dir": None, "mean_normalize_binary_mask": None, "std_normalize_binary_mask": None}
    assert TrainConfig.from_original(ORIGINAL | without).embedding_config().in_channels == 3
    only = TrainConfig.from_original(ORIGINAL | {"mask_only": True}).embedding_config()
    assert (only.pipeline, only.in_channels, only.mean) == ("edges", 1, (0.456,))
    assert TrainConfig.from_original(ORIGINAL | {"apply_dropout_pixels": True}).pixel_dropout > 0
    with pytest.raises(ValueError, match="not a setting of the original: colour"):
        TrainConfig.from_original({"colour": 1})


def test_settings_that_name_files_are_known_to_forms():
    named = {name for name in RULES if name.endswith(("_dir", "_path"))}
    assert set(PATH_KEYS) == named


def test_a_loss_without_a_margin_takes_its_own():
    margins = {loss: TrainConfig(loss=loss).margin for loss in ("triplet", "contrastive", "arcface", "cosface")}
    assert margins == {"triplet": 10, "contrastive": 1, "arcface": 0.5, "cosface": 0.2}
    assert TrainConfig.from_toml(TrainConfig(loss="triplet").to_toml()).margin == 10


def test_the_papers_triplet_network():
    config = TrainConfig.of_the_paper("triplet", epochs=3)
    assert (config.backbone, config.dimension, config.batch_size, config.margin) == ("resnet18", 128, 32, 10)
    assert (config.learning_rate, config.lr_scheduler, config.epochs) == (0.0008, False, 3)
    assert TrainConfig.of_the_paper("adaptive_cosface") == TrainConfig()
