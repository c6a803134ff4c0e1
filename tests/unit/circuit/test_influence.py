"""Influence and pruning, held to a graph worked out by hand.

Two features, an error, a token and a logit: f0 reads t0 (3); f1 reads f0 (2) and the error (−2); the
logit reads f1 (4), f0 (1) and the error (−3).
"""

import numpy as np
import pytest

from microtome.circuit.influence import GraphScores, Shares, graph_scores, prune

F0, F1, E0, T0, L0 = range(5)
WEIGHTS = np.array([[0, 0, 0, 3, 0], [2, 0, -2, 0, 0], [1, 4, -3, 0, 0]], float)
ROWS = np.array([F0, F1, L0])
START = np.array([0, 0, 0, 0, 1.0])
HAND = Shares.of(WEIGHTS, ROWS, START)


def test_influence_is_the_sum_over_paths():
    assert HAND.influence == pytest.approx([0.375, 0.5, 0.625, 0.375, 0])


def test_influence_is_the_inverse():
    square = np.zeros((5, 5))
    square[ROWS] = HAND.given
    inverse = np.linalg.inv(np.eye(5) - square) - np.eye(5)
    assert HAND.influence == pytest.approx(START @ inverse)


def test_sources_share_all_of_it():
    found = HAND.influence
    assert found[T0] + found[E0] == pytest.approx(1)


def test_scores_by_hand():
    """f0 is given nothing but its token; f1 half of it by the error, the logit three eighths."""
    tokens, errors = np.arange(5) == T0, np.arange(5) == E0
    found = graph_scores(HAND, tokens, errors)
    assert found.replacement == pytest.approx(0.375)
    assert found.completeness == pytest.approx(1.25 / 1.875)


def test_a_graph_without_errors_has_full_scores():
    whole = np.array([[0, 0, 0, 3, 0], [2, 0, 0, 0, 0], [1, 4, 0, 0, 0]], float)
    tokens, errors = np.arange(5) == T0, np.arange(5) == E0
    assert graph_scores(Shares.of(whole, ROWS, START), tokens, errors) == GraphScores(1.0, 1.0)


def test_scaling_a_row_changes_nothing():
    scaled = WEIGHTS * np.array([[1], [7], [0.1]])
    assert Shares.of(scaled, ROWS, START).influence == pytest.approx(HAND.influence)


def test_keeping_everything_keeps_everything():
    kept = prune(HAND, START > 0, np.zeros(5, bool), node_share=1.0, edge_share=1.0)
    assert kept.nodes.all()
    assert (kept.edges == (WEIGHTS != 0)).all()


def test_nodes_stop_within_the_share():
    """Of 1.875 in all the error has 0.625 (a third) and f1 0.5 (together 0.6); a third would pass 0.7."""
    kept = prune(HAND, START > 0, np.zeros(5, bool), node_share=0.7, edge_share=1.0)
    assert kept.nodes.tolist() == [False, True, True, False, True]


def test_what_leads_nowhere_goes():
    always = np.array([False, False, False, False, True])
    kept = prune(HAND, always, np.zeros(5, bool), node_share=0.3, edge_share=1.0)
    assert kept.nodes.tolist() == [False, False, False, False, True]
    assert not kept.edges.any()
