"""The form that a training is started with: every setting of train.toml, or such a file pasted.

The web process loads no network, so the settings stand here once more, with what they mean; a test holds them against
`modelzoo.training`, which checks them again before a training begins.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from ..models import EmbeddingModel
from ..selectors.training import startable_models

# Settings of a train.toml that name files; a form takes none.
_PATHS = {"train_data_dir", "train_edges_dir", "test_data_dir", "test_edges_dir", "save_path"}


@dataclass(frozen=True)
class Setting:
    """One setting. default: None for a number that may be left out. count: how many numbers it is made of; low, high:
    of each of them; above: low itself is too low.
    """

    name: str
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[tuple[str, str], ...] = ()
    count: int = 1
    above: bool = False

    @property
    def label(self) -> str:
        return _LABELS.get(self.name, self.name.replace("_", " ").capitalize())

    def field(self) -> forms.Field:
        common: dict[str, Any] = {"label": self.label, "help_text": self.help, "initial": self.default}
        if self.choices:
            return forms.ChoiceField(choices=self.choices, widget=UnfoldAdminSelectWidget(), **common)
        if isinstance(self.default, bool):
            return forms.BooleanField(required=False, widget=UnfoldBooleanSwitchWidget(), **common)
        if isinstance(self.default, list):
            return NumbersField(self, widget=UnfoldAdminTextInputWidget(), **common)
        if isinstance(self.default, str):
            return forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget(), **common)
        kind: Any = forms.IntegerField if isinstance(self.default, int) else forms.FloatField
        step = "1" if kind is forms.IntegerField else "any"
        widget = UnfoldAdminTextInputWidget(attrs={"type": "number", "step": step, "inputmode": "decimal"})
        checks = [self.check] if self.above else []
        common["required"] = self.default is not None
        return kind(min_value=self.low, max_value=self.high, widget=widget, validators=checks, **common)  # type: ignore[no-any-return]

    def check(self, value: float) -> None:
        low, high = self.low, self.high
        if low is None or high is None or not (low < value if self.above else low <= value) or value > high:
            raise forms.ValidationError(
                (gettext("Above %(low)s to %(high)s.") if self.above else gettext("From %(low)s to %(high)s."))
                % {"low": f"{low:g}", "high": f"{high:g}"}
            )


class NumbersField(forms.Field):
    """Numbers between commas, as a list."""

    def __init__(self, setting: Setting, **options: Any) -> None:
        super().__init__(**options)
        self.setting = setting

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(f"{number:g}" for number in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[float]:
        try:
            numbers = [float(part) for part in str(value or "").split(",")]
        except ValueError:
            raise forms.ValidationError(gettext("Numbers between commas.")) from None
        count = self.setting.count
        if len(numbers) != count:
            raise forms.ValidationError(
                ngettext("%(n)s number between commas.", "%(n)s numbers between commas.", count) % {"n": count}
            )
        for number in numbers:
            self.setting.check(number)
        return numbers


def _named(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, _LABELS.get(value, value.replace("_", " "))) for value in values)


_LABELS = {
    "lr_scheduler": "Decay of the learning rate",
    "lr_step": "Epochs between decays",
    "lr_gamma": "Factor of a decay",
    "max_k": "Ranks measured",
    "rgb_mean": "Mean of RGB",
    "rgb_std": "Deviation of RGB",
    "edge_mean": "Mean of edges",
    "edge_std": "Deviation of edges",
    "cache_mb": "Pictures in memory (MB)",
    "adaptive_cosface": "CosFace with adaptive margin",
    "cosface": "CosFace",
    "arcface": "ArcFace",
    "triplet": "Triplet",
    "contrastive": "Contrastive",
    "crop_rgb": "cropped RGB",
    "cutout_rgb": "background-removed RGB",
    "edges": "edges only",
    "cutout_rgb_edges": "background-removed RGB and edges",
    "crop_rgb_edges": "cropped RGB and edges",
    "bf16": "bfloat16",
    "float32": "32 bits",
    "cuda": "GPU (CUDA)",
    "cpu": "CPU",
    "auto": "as the machine can",
}

GROUPS: dict[str, tuple[Setting, ...]] = {
    "Course": (
        Setting("epochs", 80, "How often every photo is seen.", 1, 10000),
        Setting(
            "patience",
            15,
            "Stop after so many epochs without a better DT5AP on the validation animals; 0: never.",
            0,
            10000,
        ),
        Setting("batch_size", 64, "Photos per step. Smaller needs less memory.", 2, 4096),
        Setting("accumulation", 1, "Parts that a batch is worked on in, to save memory.", 1, 4096),
        Setting("images_per_identity", 4, "Photos of one flank in a batch.", 1, 1024),
        Setting("learning_rate", 0.001, "Of Adam.", 0, 1, above=True),
        Setting("lr_scheduler", True, "Lower the learning rate step by step."),
        Setting("lr_step", 5, "", 1, 10000),
        Setting("lr_gamma", 0.7, "", 0, 1, above=True),
        Setting("seed", 0, "The same seed, photos and settings give the same network.", 0, 2**31 - 1),
    ),
    "Network": (
        Setting("backbone", "tf_efficientnetv2_b2", "A model of timm by its name."),
        Setting(
            "pipeline",
            "crop_rgb_edges",
            "What the network sees of a coat.",
            choices=_named("crop_rgb", "cutout_rgb", "edges", "cutout_rgb_edges", "crop_rgb_edges"),
        ),
        Setting("width", 512, "Pixels. Half of it and of the height take a quarter of the time.", 16, 4096),
        Setting("height", 256, "Pixels.", 16, 4096),
        Setting("dimension", 1024, "Numbers in a vector.", 1, 16000),
        Setting("train_all_layers", True, "Else only the last ones."),
        Setting("num_last_layers", 1, "Which are trained when not all are.", 1, 3),
        Setting("rgb_mean", [0.485, 0.456, 0.406], "", -1, 1, count=3, above=True),
        Setting("rgb_std", [0.229, 0.224, 0.225], "", 0, 10, count=3, above=True),
        Setting("edge_mean", [0.456], "", -1, 1, above=True),
        Setting("edge_std", [0.225], "", 0, 10, above=True),
    ),
    "Loss": (
        Setting(
            "loss",
            "adaptive_cosface",
            "What training makes small.",
            choices=_named("adaptive_cosface", "cosface", "arcface", "triplet", "contrastive"),
        ),
        Setting("margin", None, "Empty: as its paper has it (0.28 adaptive, 0.2 CosFace, 10 triplet).", 0, 100),
        Setting("scale", 64.0, "Of CosFace and ArcFace.", 0, 1000, above=True),
        Setting("train_prototypes", True, "The original left the vectors that stand for identities as they began."),
        Setting("prototype_lr_factor", 1.0, "How much faster those learn than the network.", 0, 1000, above=True),
    ),
    "Augmentation": (
        Setting("augment", True, "Vary photos each time they are seen. They are never mirrored."),
        Setting("rotation", 10.0, "Degrees to either side.", 0, 45),
        Setting("crop_share", 0.1, "The most that is cut off each side.", 0, 0.45),
        Setting("jitter", 0.2, "Of brightness, contrast and colour.", 0, 0.9),
        Setting("pixel_dropout", 0.0, "Share of pixels that are blanked.", 0, 0.9),
    ),
    "Split and measuring": (
        Setting("train_share", 0.7, "Of the individuals: to learn from.", 0, 1, above=True),
        Setting("validation_share", 0.15, "To choose the best epoch by.", 0, 1, above=True),
        Setting("test_share", 0.15, "To measure on, once. The three are 1 together.", 0, 1, above=True),
        Setting("max_k", 10, "", 1, 100),
        Setting("log_angles", True, "Also the angles between coats."),
    ),
    "Machine": (
        Setting("device", "auto", "", choices=_named("auto", "cpu", "cuda")),
        Setting("precision", "auto", "", choices=_named("auto", "bf16", "float32")),
        Setting("checkpoint_steps", 50, "Steps between checkpoints within an epoch; 0: at its end only.", 0, 10**6),
        Setting("cache_mb", 1024, "Prepared pictures are kept when all of them fit.", 0, 10**6),
    ),
}
SETTINGS: dict[str, Setting] = {setting.name: setting for group in GROUPS.values() for setting in group}


class TrainingForm(forms.Form):
    """What to begin from, and every setting. `config` holds the settings after `is_valid`."""

    start_model = forms.ModelChoiceField(
        queryset=EmbeddingModel.objects.none(),
        required=False,
        label=_("Begin from"),
        empty_label="random numbers",
        widget=UnfoldAdminSelectWidget(),
        help_text=_(
            "A network that has learned something saves much of the way. What its layout decides is taken over."
        ),
    )
    toml = forms.CharField(
        required=False,
        label=_("train.toml"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false"}),
        help_text=_("Paste one here: what it names counts instead of the fields below."),
    )

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        self.pasted: dict[str, Any] = {}
        self.wrong_toml = ""
        for setting in SETTINGS.values():
            self.fields[setting.name] = setting.field()
        models = startable_models()
        start: Any = self.fields["start_model"]
        start.queryset = EmbeddingModel.objects.filter(pk__in=[model.pk for model in models]).order_by("-pk")
        active = next((model for model in models if model.state == EmbeddingModel.State.ACTIVE), None)
        start.initial = active and active.pk
        if data is not None and data.get("toml", "").strip():
            self.data = self._with_pasted(data)

    def _with_pasted(self, data: Any) -> Any:
        """The data with the values of a pasted train.toml in place of those of the fields."""
        try:
            self.pasted = tomllib.loads(data["toml"])
        except tomllib.TOMLDecodeError as error:
            self.wrong_toml = gettext("This is no TOML: %(error)s.") % {"error": error}
            return data
        unknown = sorted(set(self.pasted) - set(SETTINGS) - _PATHS)
        if unknown:
            self.wrong_toml = gettext("Not a setting: %(unknown)s. Settings are %(names)s.") % {
                "unknown": ", ".join(unknown),
                "names": ", ".join(SETTINGS),
            }
        merged = data.copy()
        for name, value in self.pasted.items():
            if name in SETTINGS:
                merged[name] = _typed(value)
                if value is False:
                    merged.pop(name)
        return merged

    def clean_toml(self) -> str:
        if self.wrong_toml:
            raise forms.ValidationError(self.wrong_toml)
        return str(self.cleaned_data["toml"])

    def clean(self) -> dict[str, Any]:
        said = super().clean() or self.cleaned_data
        if not self.errors:
            if said["accumulation"] > said["batch_size"]:
                self.add_error(
                    "accumulation",
                    gettext("At most the batch size, %(batch_size)s.") % {"batch_size": said["batch_size"]},
                )
            shares = [said[f"{part}_share"] for part in ("train", "validation", "test")]
            if abs(sum(shares) - 1) > 1e-6:
                self.add_error(
                    "test_share", gettext("The three shares are %(sum)s together, not 1.") % {"sum": f"{sum(shares):g}"}
                )
        return said

    @property
    def config(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SETTINGS if self.cleaned_data[name] is not None}

    def groups(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """Title, fields, and whether something is wrong in it."""
        found = []
        for title, settings in GROUPS.items():
            fields = [self[setting.name] for setting in settings]
            found.append((title, fields, any(bound.errors for bound in fields)))
        return found


def _typed(value: Any) -> Any:
    return ", ".join(str(part) for part in value) if isinstance(value, list) else value


def as_toml(config: dict[str, Any]) -> str:
    """The settings of a run as a train.toml. JSON's numbers, texts, booleans and lists are TOML's."""
    import json

    # The database keeps no order: the form's is the one that people know.
    names = [name for name in SETTINGS if name in config] + [name for name in config if name not in SETTINGS]
    return "".join(f"{name} = {json.dumps(config[name])}\n" for name in names)
