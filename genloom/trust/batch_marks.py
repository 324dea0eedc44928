"""The mark of a workspace's keys in a batch: values that are short for a mark of their own have one together.

Each value has a pool index of its own. The evidence is read by the models, since blind detection of a few dozen tokens
cannot tell one of 1,024 pool indices from the others.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import exp, log
from typing import Any

from genloom.model import Model
from genloom.store.keys import MarkingKey, MarkingKeys, derive_noise_key
from genloom.store.workspace import Workspace
from genloom.trust.marks import (
    MAX_KEYS,
    MAX_MODELS,
    MarkReport,
    Reading,
    choose_report,
    compute_candidates,
    find_mark,
    iter_readings,
    list_folders,
    load_causal_model,
)
from genloom.trust.token_marks import (
    ANY_TEXT,
    SHORT_VALUE,
    PoolEvidence,
    combine_evidence,
    compute_pool_evidence,
    read_context_tokens,
)

MAX_VALUES = 100  # of a batch, the first: more take time and add nothing
MAX_FAST_VALUES = 20
EXPECTATIONS = (ANY_TEXT, SHORT_VALUE)


def find_batch_mark(workspace: Workspace, medium: str, values: Sequence[Any], is_fast: bool = False) -> MarkReport:
    """Return the evidence that a key of the workspace marked values of this medium, which are not all of one output.

    With `is_fast`, fewer values are read, and by one model only.
    """
    if len(values) == 1:
        return find_mark(workspace, medium, values[0], is_fast=is_fast)
    keys = MarkingKeys(workspace.root).list_keys()[-MAX_KEYS:]
    values = values[: MAX_FAST_VALUES if is_fast else MAX_VALUES]
    reports: list[MarkReport] = []
    num_models = 0
    for folder in list_folders(workspace, medium, None) if keys else []:
        readings = [reading for value in values for reading in iter_readings(medium, [folder], value, None)]
        if not any(reading.is_causal for reading in readings):
            continue
        reports += read_batch(workspace, medium, readings, keys)
        num_models += 1
        if num_models == (1 if is_fast else MAX_MODELS):
            break
    corrected = [correct_report(report, max(num_models, 1)) for report in reports]
    return choose_report(workspace, corrected)


def read_batch(
    workspace: Workspace, medium: str, readings: Sequence[Reading], keys: Sequence[MarkingKey]
) -> list[MarkReport]:
    """Return the evidence in a batch by one model, for each key and each of the ways of reading."""
    model = load_causal_model(workspace, readings[0])
    if model is None:
        return []
    noise_keys = [derive_noise_key(key.secret, medium) for key in keys]
    evidence = read_evidence(model, readings, noise_keys)
    reports = []
    for (key, *_), rows in evidence.items():
        log_p, num_tokens = combine_evidence(rows), sum(row.num_tokens for row in rows)
        p_value = exp(min(log_p + log(len(evidence)), 0.0))
        id = keys[key].id if num_tokens else ""
        ref = readings[0].folder.ref
        reports.append(MarkReport(p_value, id, "model-aware", ref, num_tokens, len(evidence), len(readings)))
    return reports


def read_evidence(
    model: Model, readings: Sequence[Reading], noise_keys: Sequence[int]
) -> dict[tuple[int, ...], list[PoolEvidence]]:
    """Return the evidence of each value, by key, sampling parameters, way of writing, and expectation.

    All values of a batch share these: the parameters, whether they are as a model wrote them or in canonical form, and
    how exactly they are those that the probabilities gave.
    """
    num_writings = max(len(reading.encodings) for reading in readings)
    counts = (len(noise_keys), len(readings[0].params), num_writings, len(EXPECTATIONS))
    evidence: dict[tuple[int, ...], list[PoolEvidence]] = {way: [] for way in product(*map(range, counts))}
    for reading in readings:
        read = [
            (read_context_tokens(reading.codec, ids, reading.first), compute_candidates(model, reading, ids))
            for ids in reading.encodings
        ]
        for (key, params, writing, expected), rows in evidence.items():
            tokens, candidates = read[min(writing, len(read) - 1)]
            is_same = writing >= len(read)  # this value is written in one way only
            rows.append(
                evidence[key, params, len(read) - 1, expected][-1]
                if is_same
                else compute_pool_evidence(tokens, noise_keys[key], candidates[params], EXPECTATIONS[expected])
            )
    return evidence


def correct_report(report: MarkReport, num_models: int) -> MarkReport:
    """Return the report with a p-value that allows for the models that were tried."""
    return replace(report, p_value=min(report.p_value * num_models, 1.0), num_tests=report.num_tests * num_models)
