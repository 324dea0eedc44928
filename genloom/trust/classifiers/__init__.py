"""Classifiers for content rules: each module here, or of a package, says how likely values belong to a class.

A classifier defines `Config`, `build(config)` and `media`, the names of the media whose values it takes ("text" without
it). What it builds maps values to numbers from 0 to 1, one for each, float32 N. The threshold is the rule's.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from genloom import plugins
from genloom.errors import GenloomError
from genloom.settings import parse_settings, to_plain

Classifier = Callable[[Sequence[Any]], np.ndarray]


def list_media(name: str) -> tuple[str, ...]:
    """Return the media whose values a classifier takes; raise GenloomError (core.unknown_part) for an unknown one."""
    return tuple(getattr(plugins.find_part("classifier", name), "media", ("text",)))


def build_classifier(name: str, settings: Mapping[str, Any]) -> Classifier:
    """Return a classifier, built in or from a package, with its settings; the same ones are built once.

    Raise GenloomError for an unknown name (core.unknown_part) and a wrong setting.
    """
    return _build_once(name, json.dumps(to_plain(settings), sort_keys=True))


@lru_cache(maxsize=32)
def _build_once(name: str, settings: str) -> Classifier:
    module = plugins.find_part("classifier", name)
    return module.build(parse_settings(module.Config, json.loads(settings), f"classifier.{name}"))


def compute_scores(name: str, settings: Mapping[str, Any], values: Sequence[Any]) -> np.ndarray:
    """Return the score of each value, N float32 from 0 to 1.

    Raise GenloomError (trust.bad_classifier) for scores of another shape or out of range: a rule must not pass because
    a classifier is broken.
    """
    scores_N = np.asarray(build_classifier(name, settings)(values), np.float32)
    if scores_N.shape != (len(values),) or not ((scores_N >= 0) & (scores_N <= 1)).all():
        raise GenloomError("trust.bad_classifier", classifier=name, shape=scores_N.shape, count=len(values))
    return scores_N
