"""The geometric median: what it minimises, what it is in one dimension, and that one huge point does not move it."""

import pytest
import torch

from microtome.train.centre import geometric_median, middle


@pytest.fixture
def points():
    random = torch.Generator().manual_seed(0)
    return 5 + torch.randn(401, 6, generator=random, dtype=torch.float64) * torch.arange(1.0, 7.0)


def test_no_direction_leads_to_a_smaller_sum_of_distances(points):
    found = geometric_median(points).requires_grad_()
    torch.linalg.vector_norm(points - found, dim=1).sum().backward()
    assert found.grad is not None
    assert float(found.grad.norm()) / len(points) < 1e-2
    at_mean = points.mean(0).requires_grad_()
    torch.linalg.vector_norm(points - at_mean, dim=1).sum().backward()
    assert found.grad.norm() < at_mean.grad.norm() / 2


def test_on_a_line_it_is_the_median(points):
    line = points[:, :1]
    assert float(geometric_median(line)) == pytest.approx(float(line.median()), abs=0.05)


def test_one_huge_point_moves_the_mean_and_not_the_median(points):
    huge = torch.cat([points, torch.full((1, 6), 1e6, dtype=torch.float64)])
    assert (geometric_median(huge) - geometric_median(points)).norm() < 0.2
    assert (huge.mean(0) - points.mean(0)).norm() > 1000


def test_points_that_coincide_do_no_harm():
    assert torch.equal(geometric_median(torch.ones(5, 3)), torch.ones(3))


def test_each_site_has_its_own_middle(points):
    y = torch.stack([points, 2 * points], 1)
    torch.testing.assert_close(middle(y, "mean"), torch.stack([points.mean(0), 2 * points.mean(0)]))
    torch.testing.assert_close(middle(y, "median")[1], 2 * middle(y, "median")[0], rtol=1e-3, atol=1e-3)
    assert not middle(y, "zero").any()
