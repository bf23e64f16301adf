import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agent.inspection.screening import Screening, activate, class_probabilities, score_of, sigmoid

wild = st.floats(-1e4, 1e4, width=32)
vectors = arrays.arrays(np.float32, st.integers(1, 8), elements=wild)


@given(vectors)
def test_softmax_gives_probabilities(raw):
    """Softmax of any finite values is non-negative, adds up to 1 and keeps their order."""
    found = activate(raw, "softmax")
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert found[raw.argmax()] == found.max()


@given(vectors)
def test_sigmoid_is_the_logistic_function(raw):
    """The sigmoid agrees with 1 / (1 + exp(-x)) and does not overflow where that would."""
    found = activate(raw, "sigmoid")
    expected = [1 / (1 + math.exp(-x)) if x > -700 else 0.0 for x in raw.astype(float)]
    assert found == pytest.approx(np.array(expected), abs=1e-12)
    assert sigmoid(np.array([0.0]))[0] == 0.5


@given(vectors)
def test_no_activation_changes_nothing(raw):
    """With activation none the values are the model's own."""
    assert np.array_equal(activate(raw, "none"), raw.astype(np.float64))


@pytest.mark.parametrize("shape", [(2,), (1, 2), (1, 2, 1, 1), (2, 1)])
def test_any_shape_with_the_right_count(shape):
    """An output of any shape that holds one value per label is one image's probabilities."""
    raw = np.array([0.25, 0.75], np.float32).reshape(shape)
    assert class_probabilities(raw, activation="none", classes=2).tolist() == [0.25, 0.75]


def test_a_wrong_count_is_refused():
    """An output with another number of values than labels names both numbers."""
    with pytest.raises(ValueError, match="expected 2 values, got 3"):
        class_probabilities(np.zeros(3, np.float32), activation="none", classes=2)


@pytest.mark.parametrize(
    ("score", "threshold", "suspicious"),
    [(0.3, 0.3, True), (0.299999, 0.3, False), (0.300001, 0.3, True), (0.0, 0.0, True), (1.0, 1.0, True)],
)
def test_at_the_threshold_is_suspicious(score, threshold, suspicious):
    """A score at or above the threshold sends the frame to verification, and the record says so."""
    found = Screening(score, threshold)
    assert found.suspicious is suspicious
    assert found.to_json() == {"score": score, "threshold": threshold, "suspicious": suspicious}


@given(st.floats(-0.5, 1.5))
def test_a_stored_score_is_a_rounded_python_float(value):
    """A score is stored within 0 to 1 and within half a millionth of what the model said."""
    stored = score_of(value)
    assert type(stored) is float
    assert stored == min(1.0, max(0.0, round(value, 6)))
    assert stored == score_of(stored)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numpy_scalars_become_python_floats(kind):
    """Whatever type the model computes in, the stored score is Python's and JSON can hold it."""
    assert type(score_of(kind(0.5))) is float
    assert score_of(kind(0.5)) == 0.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_no_number(value):
    """NaN and infinities are not clamped into a plausible score."""
    assert not math.isfinite(score_of(value))


@given(vectors)
def test_a_nan_is_not_hidden_by_an_activation(raw):
    """One NaN among a classifier's values is still a NaN after softmax, sigmoid or nothing."""
    raw[0] = np.nan
    for activation in ("none", "softmax", "sigmoid"):
        assert np.isnan(activate(raw, activation)[0])
