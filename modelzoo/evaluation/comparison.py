"""Old against new on the same photos: is there a difference beyond chance, and should people switch?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .bootstrap import Figure, Resampler
from .evaluate import DEFAULT_RESAMPLES, HONEST_FIRST, VARIANT_NAMES, EvaluationReport, Variant
from .photos import animals

Advice = Literal["activate", "no measurable difference", "do not activate"]

# With fewer, all of them changing the same way by chance is likelier than 5 % (2 · 0.5⁵ = 6 %).
FEWEST_INDIVIDUALS = 6


@dataclass(frozen=True)
class Comparison:
    """DT5AP of new minus old on the same photos, in the strictest variant that is known of both.

    differences: the same of every variant known of both.
    """

    variant: Variant
    old: float
    new: float
    difference: Figure
    queries: int
    individuals: int
    advice: Advice
    sentence: str
    differences: dict[Variant, Figure]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "figure": "dt5ap",
            "events": self.variant[0],
            "heading": self.variant[1],
            "old": _plain(self.old),
            "new": _plain(self.new),
            "difference": self.difference.to_dict(),
            "queries": self.queries,
            "individuals": self.individuals,
            "advice": self.advice,
            "sentence": self.sentence,
            "differences": {f"{v[0]}/{v[1]}": figure.to_dict() for v, figure in self.differences.items()},
        }


def compare(
    old: EvaluationReport, new: EvaluationReport, *, seed: int = 0, resamples: int = DEFAULT_RESAMPLES
) -> Comparison:
    """Paired bootstrap over individuals of the difference in DT5AP.

    Each query's DT5AP under the old scorer is subtracted from that under the new one; a resample draws individuals and
    averages these differences over their queries, so that what is easy or hard about an animal cancels out. Advice:
    "activate" when the 95 % interval lies above 0, "do not activate" when it lies below, else "no measurable
    difference", also with fewer than six individuals, which cannot tell a change from chance. Raises ValueError when
    the two were not measured on the same photos with the same labels.
    """
    facts = [
        [(p.key, p.identity, p.individual, p.event, p.flank, p.labelled) for p in report.photos]
        for report in (old, new)
    ]
    if facts[0] != facts[1]:
        raise ValueError("the two models were not evaluated on the same photos with the same labels")
    animal, known = animals(old.photos)
    resampler = Resampler(animal, seed=seed, resamples=resamples, known=known)
    both = [v for v in HONEST_FIRST if old[v].known and new[v].known and old[v].queries]
    differences = {v: resampler.mean(new[v].per_query["dt5ap"] - old[v].per_query["dt5ap"]) for v in both}
    variant: Variant = both[0] if both else ("all", "as_seen")
    difference = differences.get(variant, Figure(float("nan")))
    individuals = old[variant].individuals
    advice, sentence = _advise(difference, individuals, variant)
    return Comparison(
        variant=variant,
        old=old[variant]["dt5ap"].value,
        new=new[variant]["dt5ap"].value,
        difference=difference,
        queries=old[variant].queries,
        individuals=individuals,
        advice=advice,
        sentence=sentence,
        differences=differences,
    )


def _advise(difference: Figure, individuals: int, variant: Variant) -> tuple[Advice, str]:
    if np.isnan(difference.value):
        return "no measurable difference", "No measurable difference: no photo had another one of its animal to find."
    spoken = f"DT5AP changes by {difference.value:+.3f}"
    if not np.isnan(difference.low):
        spoken += f" (95 % interval {difference.low:+.3f} to {difference.high:+.3f})"
    spoken += f" on {individuals} individual{'s' * (individuals != 1)}; {VARIANT_NAMES[variant]}."
    if individuals < FEWEST_INDIVIDUALS or np.isnan(difference.low):
        return (
            "no measurable difference",
            f"No measurable difference: {individuals} are too few individuals to tell. {spoken}",
        )
    if difference.low > 0:
        return "activate", f"Activate: the new model is better. {spoken}"
    if difference.high < 0:
        return "do not activate", f"Do not activate: the new model is worse. {spoken}"
    return "no measurable difference", f"No measurable difference: the interval contains 0. {spoken}"


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value
