"""The report: whole in itself, free of scripts, honest about what is unknown, readable, and the same every time."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from modelzoo.coats import CoatPixels
from modelzoo.evaluation import EvaluationPhoto, EvaluationReport, compare, evaluate_scores, evaluate_vectors
from modelzoo.evaluation.report import REPORT_CSP, render_report, write_report
from modelzoo.evaluation.report.pictures import embedding_map, load_crop
from modelzoo.evaluation.shortcuts import shortcut_tests

VOID = {"meta", "img", "br", "path", "circle", "link", "input", "hr"}
HOSTILE = '<script>alert("x")</script>&'


class Page(HTMLParser):
    """Checks that tags are balanced; collects tags, attributes and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def herd(animals: int = 8, shots: int = 4, event: bool = True) -> tuple[np.ndarray, list[EvaluationPhoto]]:
    rng = np.random.default_rng(3)
    coats = rng.normal(size=(animals, 12))
    photos = [
        EvaluationPhoto(f"{a}/{s}.jpg", f"cat {a}", str(a), f"e{a}{s // 2}" if event else None, "right")
        for a in range(animals)
        for s in range(shots)
    ]
    return coats[np.repeat(np.arange(animals), shots)] + 0.9 * rng.normal(size=(animals * shots, 12)), photos


def drawn(photo: EvaluationPhoto) -> np.ndarray:
    value = int(hashlib.sha256(photo.key.encode()).hexdigest()[:2], 16)
    return np.full((30, 50, 3), value, np.uint8)


def full_report() -> str:
    vectors, photos = herd()
    rng = np.random.default_rng(9)
    new = evaluate_vectors(vectors, photos, resamples=100)
    old = evaluate_vectors(rng.normal(size=vectors.shape), photos, resamples=100)
    local = evaluate_scores(vectors @ vectors.T, photos, resamples=100)
    coats = [CoatPixels(np.ascontiguousarray(drawn(p)), None, np.ones((30, 50), np.uint8)) for p in photos]
    found = shortcut_tests(coats, photos, lambda some: vectors[: len(some)], plain=new, resamples=100)
    return render_report(
        "Retraining",
        {"new network": new, "old network": old, "local features": local},
        about={"Data": "eight drawn cats"},
        vectors=vectors,
        loader=drawn,
        shortcuts=found,
        comparison=compare(old, new),
        notes=["A note."],
    )


def test_a_report_is_whole_in_itself_and_runs_nothing() -> None:
    source = full_report()
    page = Page(source)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in page.tags:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "srcset", "poster", "xlink:href", "action"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.search(r"url\(|@import", source)


def test_its_policy_lets_through_its_own_style_and_nothing_else() -> None:
    source = full_report()
    style = re.search(r"<style>(.*?)</style>", source, re.DOTALL)
    assert style is not None and source.count("<style") == 1
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in REPORT_CSP and REPORT_CSP.startswith("default-src 'none'")
    policies = [a["content"] for t, a in Page(source).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [REPORT_CSP]


def test_every_part_is_there_with_the_figures_that_were_measured() -> None:
    vectors, photos = herd()
    table = evaluate_vectors(vectors, photos, resamples=100)["other_events", "normalised"]
    text = Page(full_report()).text
    for word in (
        "What was measured",
        "eight drawn cats",
        "Activate",
        "Hardest pairs of new network",
        "Map of the embedding space",
        "t-SNE",
        "animals painted over",
        "query mirrored",
        "Other events only, headings normalised",
        "Known taken for new",
    ):
        assert word in text
    for name in ("t1", "dt5ap", "auroc"):
        figure = table[name]
        assert f"{figure.value:.3f}{figure.low:.3f} to {figure.high:.3f}" in text


def test_the_same_evaluation_gives_the_same_page() -> None:
    assert full_report() == full_report()


def test_names_from_outside_are_shown_and_never_executed() -> None:
    vectors, photos = herd(animals=3)
    nasty = [
        EvaluationPhoto(f"{HOSTILE}{p.key}", f"{HOSTILE}{p.identity}", p.individual, HOSTILE, p.flank) for p in photos
    ]
    report = evaluate_vectors(vectors, nasty, resamples=10)
    source = render_report(
        HOSTILE, {HOSTILE: report}, about={HOSTILE: HOSTILE}, vectors=vectors, loader=lambda _: None, notes=[HOSTILE]
    )
    page = Page(source)
    assert "script" not in {tag for tag, _ in page.tags}
    assert HOSTILE in page.text and "no picture" in page.text


def test_what_is_unknown_is_called_so_and_nothing_is_shown_for_it() -> None:
    vectors, photos = herd(event=False)
    text = Page(render_report("R", {"one": evaluate_vectors(vectors, photos, resamples=10)}, loader=drawn)).text
    part = text.split("Other events only, as seen")[1].split("All photos, headings normalised")[0]
    assert "Unknown. The events of the photos are not known" in part
    assert not re.search(r"0\.\d\d", part)


@pytest.mark.parametrize("photos", [0, 1, 2])
def test_next_to_nothing_is_a_page_too(photos: int) -> None:
    vectors, herded = herd(animals=1, shots=max(photos, 1))
    report = evaluate_vectors(vectors[:photos], herded[:photos], resamples=10)
    page = Page(render_report("R", {"one": report}, vectors=vectors[:photos], loader=lambda _: None))
    assert "too few vectors for a map" in page.text
    assert "nan" not in page.text.lower()
    with pytest.raises(ValueError, match="something that was evaluated"):
        render_report("R", {})


def test_advice_against_activation_is_plain() -> None:
    vectors, photos = herd()
    good = evaluate_vectors(vectors, photos, resamples=200)
    bad = evaluate_vectors(np.random.default_rng(9).normal(size=vectors.shape), photos, resamples=200)
    source = render_report("R", {"new": bad, "old": good}, comparison=compare(good, bad), loader=drawn)
    assert '<div class="box verdict bad" role="note"><strong>Do not activate</strong>' in source
    assert "The new model is worse." in source


def test_pictures_are_small_and_of_the_pairs_that_were_ranked() -> None:
    vectors, photos = herd()
    report = evaluate_vectors(vectors, photos, resamples=0)

    def striped(photo: EvaluationPhoto) -> np.ndarray:
        pixels = np.zeros((900, 1600, 3), np.uint8)
        pixels[..., 0] = 200
        return pixels

    source = render_report("R", {"one": report}, loader=striped)
    data = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', source)
    assert len(data) == 2 * sum(len(pairs) for pairs in report.pairs.values()) > 0
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data[0]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (135, 240, 3)
    assert picture[60, 60, 2] > 180 and picture[60, 60, 0] < 30  # red stays red


def test_hardest_pairs_of_a_ranking_worked_out_by_hand() -> None:
    """a: 0, 1; b: 2, 3; c: 4. Photo 0 finds 1, photo 1 takes 4 for it, photos 2 and 3 find each other."""
    scores = np.array(
        [[0, 5, 1, 1, 2], [3, 0, 4, 1, 9], [1, 2, 0, 8, 3], [1, 2, 7, 0, 3], [0, 6, 0, 0, 0]], dtype=float
    )
    photos = [EvaluationPhoto(str(i), "aabbc"[i], "aabbc"[i]) for i in range(5)]
    pairs = evaluate_scores(scores, photos, resamples=0).pairs
    assert [(p.query, p.other, p.score) for p in pairs["right"]] == [(0, 1, 5.0), (3, 2, 7.0)]
    assert [(p.query, p.other, p.score, p.rank) for p in pairs["missed"]] == [(1, 0, 3.0, 3)]
    assert [(p.query, p.other, p.score) for p in pairs["wrong"]] == [(1, 4, 9.0)]


def test_a_map_separates_what_is_separate_and_is_the_same_every_time() -> None:
    for animals, shots in ((4, 3), (8, 6)):
        vectors, photos = herd(animals=animals, shots=shots)
        vectors = np.round(vectors) + 20 * np.repeat(np.eye(animals, 12), shots, axis=0)
        drawing, how = embedding_map(vectors, photos)
        assert (drawing, how) == embedding_map(vectors, photos)
        assert how.startswith("Principal components" if animals * shots < 30 else "t-SNE")
        marks = re.findall(r'(?:cx="|d="M)([\d.]+)(?:" cy="| )([\d.]+)[^>]*><title>(cat \d): ', drawing)
        assert sorted(name for _, _, name in marks) == sorted(photo.identity for photo in photos)
        spots = np.array([(float(x), float(y)) for x, y, _ in marks])
        apart = np.linalg.norm(spots[:, None] - spots[None], axis=2) + np.diag([np.inf] * len(spots))
        assert [marks[i][2] for i in apart.argmin(axis=1)] == [name for _, _, name in marks]


def test_photos_without_vector_and_beyond_the_looks_are_told_apart() -> None:
    vectors, photos = herd(animals=60, shots=2)
    vectors[5] = np.nan
    drawing, how = embedding_map(vectors, photos)
    assert "119 of 120 photos" in how
    assert drawing.count('class="rest"') == 23 and "48 identities" in how


def test_a_report_is_written_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    vectors, photos = herd(animals=2)
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), np.full((8, 9, 3), (10, 20, 30), np.uint8))
    named = [EvaluationPhoto(p.key, p.identity, p.individual, p.event, p.flank, picture) for p in photos]
    report: EvaluationReport = evaluate_vectors(vectors, named, resamples=0)
    path = write_report(tmp_path / "report.html", "R", {"one": report})
    assert path.read_text().startswith("<!doctype html>") and "data:image/jpeg" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.png", "report.html"]
    pixels = load_crop(named[0])
    assert pixels is not None and pixels[0, 0].tolist() == [30, 20, 10]
    assert load_crop(EvaluationPhoto("k", "i", "i", crop=tmp_path / "none.jpg")) is None
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    assert load_crop(EvaluationPhoto("k", "i", "i", crop=broken)) is None


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_has_the_contrast_of_wcag_aa_and_marks_that_of_graphics_in_both_themes() -> None:
    from modelzoo.evaluation.report.style import CSS

    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", part)) for part in CSS.split("@media", 2)[:2])
    for theme in (light, {**light, **dark}):
        for ground in ("paper", "surface"):
            assert contrast(theme["ink"], theme[ground]) >= 7
            assert contrast(theme["muted"], theme[ground]) >= 4.5
            assert contrast(theme["strong"], theme[ground]) >= 3
            for series in range(8):
                assert contrast(theme[f"c{series}"], theme[ground]) >= 3
        for kind in ("good", "bad", "unsure"):
            assert contrast(theme["ink"], theme[f"{kind}-soft"]) >= 7
