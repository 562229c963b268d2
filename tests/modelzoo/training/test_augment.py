"""Random changes of training pictures."""

import pytest
import torch

from modelzoo.training.augment import Augmentation, augmented

HEIGHT, WIDTH = 64, 128


def smooth_picture() -> torch.Tensor:
    """4×H×W: the red plane and the edge plane are the same smooth blob left of the middle, so that moves show."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    blob = 40 + 180 * torch.exp(-((x - 32) ** 2 + (y - 20) ** 2) / 300)
    flat = torch.full((HEIGHT, WIDTH), 120.0)
    return torch.stack([blob, flat, flat, blob]).to(torch.uint8)


def centre(plane: torch.Tensor) -> tuple[float, float]:
    """Centre of what is brighter than the blob's foot, in pixels (x, y)."""
    weight = (plane.float() - 60).clamp(min=0)
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())


def changed(augmentation: Augmentation, count: int = 40, picture: torch.Tensor | None = None) -> list[torch.Tensor]:
    return augmented(augmentation, [smooth_picture() if picture is None else picture] * count, (7, 1, 0))


def test_nothing_asked_for_changes_nothing():
    assert torch.equal(changed(Augmentation(0, 0, 0, 0), 1)[0], smooth_picture())


def test_edges_move_with_what_they_outline():
    moves = set()
    for picture in changed(Augmentation(10, 0.1, 0, 0)):
        assert picture.dtype == torch.uint8
        assert picture.shape == (4, HEIGHT, WIDTH)
        assert (picture[0].int() - picture[3].int()).abs().max() <= 1
        moves.add(tuple(round(v) for v in centre(picture[3])))
    assert len(moves) > 5


def test_colour_changes_leave_the_edges_alone():
    pictures = changed(Augmentation(0, 0, 0.2, 0))
    assert all(torch.equal(picture[3], smooth_picture()[3]) for picture in pictures)
    levels = torch.tensor([float(picture[1].float().mean()) for picture in pictures])
    assert levels.std() > 3
    assert levels.min() > 120 * 0.8 * 0.8 - 12
    assert levels.max() < 120 * 1.2 * 1.2 + 12


def test_edges_alone_and_rgb_alone_have_their_forms():
    for planes in (1, 3):
        assert changed(Augmentation(10, 0.1, 0.2, 0.1), 1, smooth_picture()[:planes])[0].shape[0] == planes


def test_a_picture_is_never_mirrored():
    for picture in changed(Augmentation(10, 0.1, 0.2, 0), 200):
        x, y = centre(picture[3])
        assert x < WIDTH / 2
        assert y < HEIGHT * 0.62


def test_at_most_the_share_is_cut_off_each_side():
    ramp = torch.linspace(0, 250, WIDTH).to(torch.uint8).repeat(1, HEIGHT, 1)
    firsts, lasts = [], []
    for picture in changed(Augmentation(0, 0.1, 0, 0), 200, ramp):
        firsts.append(int(picture[0, 0, 0]))
        lasts.append(int(picture[0, 0, -1]))
    assert 0 <= min(firsts) <= 3 < 20 < max(firsts) <= 27
    assert 223 <= min(lasts) < 230 < 247 <= max(lasts) <= 250


def test_turns_stay_within_the_angle():
    line = torch.zeros((1, HEIGHT, WIDTH), dtype=torch.uint8)
    line[0, HEIGHT // 2 - 1 : HEIGHT // 2 + 1] = 255
    angles = []
    for picture in changed(Augmentation(10, 0, 0, 0), 100, line):
        rows, columns = torch.nonzero(picture[0] > 100, as_tuple=True)
        x, y = columns.double() - columns.double().mean(), rows.double() - rows.double().mean()
        angles.append(float(torch.rad2deg(torch.atan2((x * y).sum(), (x * x).sum()))))
    assert -10.5 < min(angles) < -7
    assert 7 < max(angles) < 10.5


def test_dropped_pixels_are_black_in_every_plane():
    picture = changed(Augmentation(0, 0, 0, 0.25), 1, torch.full((4, HEIGHT, WIDTH), 200, dtype=torch.uint8))[0]
    gone = picture[0] == 0
    assert 0.2 < float(gone.float().mean()) < 0.3
    assert all(torch.equal(plane == 0, gone) for plane in picture)
    assert set(picture.unique().tolist()) == {0, 200}


def test_same_numbers_same_changes_and_the_global_generator_is_left_alone():
    augmentation = Augmentation(10, 0.1, 0.2, 0.1)
    torch.manual_seed(5)
    undisturbed = torch.rand(1)
    torch.manual_seed(5)
    first = augmented(augmentation, [smooth_picture()], (1, 2, 3))[0]
    assert torch.equal(torch.rand(1), undisturbed)
    assert torch.equal(first, augmented(augmentation, [smooth_picture()], (1, 2, 3))[0])
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3)):
        assert not torch.equal(first, augmented(augmentation, [smooth_picture()], other)[0])


@pytest.mark.parametrize("share", [0.45])
def test_the_largest_crop_leaves_a_picture(share):
    tiny = torch.zeros((1, 2, 2), dtype=torch.uint8)
    assert all(p.shape == (1, 2, 2) for p in changed(Augmentation(0, share, 0, 0), 50, tiny))
