"""The body: proportions of a leopard, both sides alike, feet on the ground, chart within the texture."""

import numpy as np
import pytest

from modelzoo.synthetic import anatomy
from modelzoo.synthetic.anatomy import LEFT, PARTS, RIGHT, Pose, build_mesh


@pytest.fixture(scope="module")
def mesh():
    return build_mesh(Pose(phase=0.1))


def _part(mesh, name):
    return mesh.vertices[np.unique(mesh.faces[mesh.face_part == PARTS.index(name)])]


def test_proportions_are_those_of_a_leopard(mesh):
    trunk = _part(mesh, "trunk")
    middle = trunk[(trunk[:, 0] > 0.3) & (trunk[:, 0] < 0.75)]
    assert 0.60 < middle[:, 2].max() < 0.75  # shoulder height
    assert 0.20 < middle[:, 2].min() < 0.36  # belly
    assert 1.3 < trunk[:, 0].max() - trunk[:, 0].min() < 1.6  # rump to nose
    tail = _part(mesh, "tail")
    assert 0.4 < np.ptp(tail[:, 0]) < 0.95


@pytest.mark.parametrize("phase", [0.0, 0.2, 0.45, 0.7, 0.9])
def test_no_foot_sinks_into_the_ground_and_two_at_least_stand(phase):
    mesh = build_mesh(Pose(phase=phase))
    legs = [_part(mesh, name)[:, 2].min() for name in PARTS if name.startswith(("hind", "fore"))]
    assert min(legs) > -0.03
    assert sum(low < 0.03 for low in legs) >= 2


def test_normals_point_outwards_on_the_flank(mesh):
    for flank, sign in ((LEFT, 1), (RIGHT, -1)):
        faces = mesh.faces[(mesh.face_part == 0) & (mesh.face_flank == flank)]
        vertices = mesh.vertices[faces].mean(axis=1)
        normals = mesh.normals[faces].mean(axis=1)
        flat = (vertices[:, 0] > 0.3) & (vertices[:, 0] < 0.7) & (np.abs(vertices[:, 1]) > 0.12)
        assert flat.sum() > 20
        assert (sign * normals[flat, 1] > 0.5).all()


def test_chart_stays_inside_the_texture(mesh):
    x, t = mesh.chart.T
    assert x.min() >= anatomy.CHART_X0 and x.max() <= anatomy.CHART_X0 + anatomy.CHART_WIDTH
    assert t.min() >= anatomy.CHART_T0 and t.max() <= anatomy.CHART_T0 + anatomy.CHART_HEIGHT


def test_chart_is_nearly_true_to_length_on_the_flank(mesh):
    """Marks must not be stretched: steps on the skin and steps on the chart agree within a quarter."""
    faces = mesh.faces[(mesh.face_part == 0) & (mesh.face_flank == LEFT)]
    a, b = faces[:, 0], faces[:, 1]
    skin = np.linalg.norm(mesh.vertices[a] - mesh.vertices[b], axis=1)
    chart = np.linalg.norm(mesh.chart[a] - mesh.chart[b], axis=1)
    flank = (mesh.vertices[a, 0] > 0.3) & (mesh.vertices[a, 0] < 0.8) & (np.abs(mesh.vertices[a, 2] - 0.48) < 0.15)
    ratio = skin[flank] / chart[flank]
    assert np.percentile(ratio, 5) > 0.75 and np.percentile(ratio, 95) < 1.25


def test_walking_moves_the_legs_but_not_the_chart():
    first, second = build_mesh(Pose(phase=0.0)), build_mesh(Pose(phase=0.5))
    np.testing.assert_array_equal(first.chart, second.chart)
    assert np.abs(_part(first, "fore_left") - _part(second, "fore_left")).max() > 0.1
