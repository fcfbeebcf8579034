"""Where units are along an axis of the network's input."""

import numpy as np

from zfscope.networks.receptive import Span
from zfscope_analyzers.activations.region import unit_centres


def test_units_are_where_their_fields_have_their_centres() -> None:
    # Fields of pixels 0..4, 4..8 and 8..12.
    np.testing.assert_array_equal(unit_centres(Span(size=5, jump=4, start=0), 3, 32), [2.5, 6.5, 10.5])


def test_centres_in_the_padding_count_as_on_the_edge() -> None:
    np.testing.assert_array_equal(unit_centres(Span(size=4, jump=10, start=-6), 4, 25), [0, 6, 16, 25])


def test_units_that_share_a_field_are_evenly_spaced() -> None:
    np.testing.assert_array_equal(unit_centres(Span(size=40, jump=0, start=-4), 4, 32), [4, 12, 20, 28])
