"""The contracts of features, checks and classifiers, by which outputs are compared, rated and refused.

Shape letters: N values, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genloom import plugins
from genloom.settings import parse_settings
from genloom.testing.comparison import assert_close


def check_features(features: Any, values: Sequence[Any]) -> None:
    """Check that features are finite numbers N D, one row a value, that do not depend on the batch.

    `KEY` names them in caches; `compute_coarse_embedding` gives one row of a fixed size for near copies.
    """
    assert isinstance(features.KEY, str) and features.KEY, "KEY must name the features"
    extract = features.build_extractor()
    features_ND = extract(iter(values))
    is_matrix = features_ND.ndim == 2 and len(features_ND) == len(values) and features_ND.dtype == np.float32
    assert is_matrix, f"features must be float32, one row a value (got {features_ND.dtype} {features_ND.shape})"
    assert np.isfinite(features_ND).all(), "features must be finite"
    assert extract([]).shape == (0, features_ND.shape[1]), "no values must give no rows of the same width"
    for value, row in zip(values, features_ND, strict=True):
        assert_close(extract([value])[0], row, "the features of a value must not depend on its batch")
    embeddings = [np.asarray(features.compute_coarse_embedding(value)) for value in values]
    are_rows = all(row.ndim == 1 and len(row) == len(embeddings[0]) and np.isfinite(row).all() for row in embeddings)
    assert are_rows, "coarse embeddings must be rows of one size"


def check_check(check: Any, values: Sequence[Any], settings: Mapping[str, Any] | None = None) -> None:
    """Check that a check scores every value of its media from 0 to 1, the same at each call, and gives a reason.

    A value passes exactly if its score is 1. `media` names the media that it takes, which must exist.
    """
    from genloom.rate.checks import CheckResult

    assert check.media, "media must name the media that the check takes"
    for medium in check.media:
        assert medium in plugins.list_part_names("medium"), f"the check takes {medium!r}, which is not a medium"
    config = parse_settings(check.Config, settings or {}, "check")
    for value in values:
        result = check.check(value, config)
        assert isinstance(result, CheckResult), f"check must return a CheckResult (got {type(result).__name__})"
        assert 0 <= result.score <= 1, f"the score must be from 0 to 1 (is {result.score} for {value!r:.80})"
        assert result.has_passed == (result.score == 1), "a value must pass exactly if its score is 1"
        assert isinstance(result.reason, str) and result.reason, "a result must have a reason"
        assert check.check(value, config) == result, "a check must give the same result at every call"


def check_classifier(classifier: Any, values: Sequence[Any], settings: Mapping[str, Any] | None = None) -> None:
    """Check that a classifier gives one number from 0 to 1 for each value, whatever values are beside it.

    `media` names the media that it takes, which must exist; it has the same scores at each call, and none for nothing.
    """
    for medium in getattr(classifier, "media", ("text",)):
        assert medium in plugins.list_part_names("medium"), f"the classifier takes {medium!r}, which is not a medium"
    classify = classifier.build(parse_settings(classifier.Config, settings or {}, "classifier"))
    scores_N = np.asarray(classify(values))
    assert scores_N.shape == (len(values),), f"scores must be one number a value (got {scores_N.shape})"
    assert ((scores_N >= 0) & (scores_N <= 1)).all(), f"scores must be from 0 to 1 (got {scores_N})"
    assert np.asarray(classify([])).shape == (0,), "no values must give no scores"
    assert np.array_equal(classify(values), scores_N), "a classifier must give the same scores at every call"
    for value, score in zip(values, scores_N, strict=True):
        assert_close(np.asarray(classify([value]))[0], score, "the score of a value must not depend on its batch")
