"""The mark of a workspace's keys in a value: all keys and models are tried, and the p-value allows for that."""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import exp, log
from typing import Any, cast

import numpy as np
import torch

from genloom import plugins
from genloom.capabilities import ConstrainedCodec, MarkedCodec
from genloom.conditioners import PROMPT
from genloom.errors import GenloomError
from genloom.media.abilities import get_ability
from genloom.model import Design, Model, build_objective, load_for_scoring, load_model
from genloom.model.load import load_codec
from genloom.objectives.autoregressive import SamplingParams, process_logits
from genloom.settings import list_options, parse_settings
from genloom.store.keys import MarkingKey, MarkingKeys, derive_noise_key
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.trust.revocation import list_revoked
from genloom.trust.token_marks import (
    MAX_TOKENS,
    Candidates,
    TokenMark,
    find_blind_mark,
    find_mark_by_model,
    list_candidates,
    read_context_tokens,
)
from genloom.types import Codec, SignalSpace, Space, TokenSpace, is_open_sequence

MAX_P_VALUE = 1e-6  # of a mark that is found
MAX_KEYS = 32  # the newest, which are tried
MAX_CODECS = 8  # of different tokens
MAX_MODELS = 4  # whose probabilities are computed: seconds each
CHAT_PARAMS: Mapping[str, Any] = {"temperature": 0.3, "top_p": 0.9, "repetition_penalty": 1.05}  # those of answers
MAX_READ = 4 * MAX_TOKENS  # tokens of a value: marks are looked for at its beginning
MAX_UNITS = 16 * MAX_READ  # bytes, notes …: more than these tokens hold
MIN_TOKENS = 8  # that must be there before a model is loaded, which takes seconds: fewer hold no mark
_PIECE = 128  # tokens whose probabilities are in memory at once


@dataclass(frozen=True)
class MarkReport:
    """The evidence for a mark; the p-value allows for all pool indices, keys, models and geometries that were tried.

    It is the chance of at least as much evidence in a value that was made without the key.
    """

    p_value: float
    key: str  # the id of the key with the most evidence; "" if there is no evidence at all
    method: str  # "blind": by the key alone; "model-aware": by the key and the model's probabilities
    model: str  # the version that the evidence was read by
    num_units: int  # tokens, or numbers of a signal, that were tested
    num_tests: int  # that the p-value allows for, beside those of the pool
    num_values: int = 1  # of a file that holds several
    is_revoked: bool = False  # whether the key is revoked: others may have it, too
    output: str = ""  # the output whose noise it is, of which the value is perhaps an edited copy

    @property
    def is_significant(self) -> bool:
        """Whether somebody who has the key made the mark."""
        return self.p_value < MAX_P_VALUE

    @property
    def is_found(self) -> bool:
        """Whether this workspace made the mark, which a revoked key does not show."""
        return self.is_significant and not self.is_revoked


@dataclass(frozen=True)
class ValueMark:
    """The evidence of a key in a value itself. `log_p` allows for the patterns and places that were tried."""

    log_p: float
    num_units: int  # numbers that were tested


@dataclass(frozen=True)
class Reading:
    """A value as the tokens of a model, and what is known of its generation."""

    folder: ModelFolder
    codec: Codec
    encodings: tuple[np.ndarray, ...]  # the token ids in the ways that they may have been written, with BOS
    prompt: str  # if it is known
    params: tuple[Mapping[str, Any], ...]  # the sampling parameters that it may have been generated with
    first: int  # the place of the first token that was generated
    is_causal: bool  # whether the model computes the probabilities of the tokens from left to right


def find_mark(
    workspace: Workspace, medium: str, value: Any, record: Mapping[str, Any] | None = None, is_fast: bool = False
) -> MarkReport:
    """Return the evidence that a key of the workspace marked a value of this medium.

    `record` is that of an output that may have been this value: its model, prompt and sampling parameters are tried
    alone, which is quicker and finds weaker marks. With `is_fast`, tokens are read blind only, and signals as they are.
    """
    keys = MarkingKeys(workspace.root).list_keys()[-MAX_KEYS:]
    folders = list_folders(workspace, medium, record) if keys else []
    readings = list(iter_readings(medium, folders, value, record))
    signal_models = list(islice(iter_signal_models(workspace, folders), MAX_MODELS))
    find_value_marks = get_value_marker(medium) if keys else None
    # They share the level.
    num_methods = (1 if is_fast else 2) * bool(readings) + bool(signal_models) + bool(find_value_marks)
    reports = find_token_marks(workspace, medium, keys, readings, num_methods, is_fast)
    if find_value_marks is not None:
        marks = find_value_marks(value, [derive_noise_key(key.secret, medium) for key in keys])
        reports += [
            build_value_report(mark, key, num_methods * len(keys)) for mark, key in zip(marks, keys, strict=True)
        ]
    reports += find_signal_reports(workspace, signal_models, medium, keys, value, record, num_methods, is_fast)
    return choose_report(workspace, reports)


def get_value_marker(medium: str) -> Callable[[Any, Sequence[int]], Sequence[ValueMark]] | None:
    """Return the search for marks that are in values of a medium themselves; None if it has no such marks."""
    has_part = medium in plugins.list_part_names("copies")
    return plugins.get_hook("copies", medium, "find_value_marks") if has_part else None


def build_value_report(mark: ValueMark, key: MarkingKey, num_tests: int) -> MarkReport:
    p_value = exp(min(mark.log_p + log(num_tests), 0.0))
    return MarkReport(p_value, key.id, "blind", "", mark.num_units, num_tests)


def choose_report(workspace: Workspace, reports: Iterable[MarkReport]) -> MarkReport:
    """Return the report with the most evidence, by a key that is not revoked if it finds a mark, too."""
    revoked = {key.id for key in list_revoked(workspace.root)}
    judged = [replace(report, is_revoked=report.key in revoked) for report in reports]
    no_mark = MarkReport(1.0, "", "blind", "", 0, 0)
    return min(judged, key=lambda report: (not report.is_found, report.p_value), default=no_mark)


def find_token_marks(
    workspace: Workspace,
    medium: str,
    keys: Sequence[MarkingKey],
    readings: Sequence[Reading],
    num_methods: int,
    is_fast: bool,
) -> list[MarkReport]:
    """Return the evidence in tokens, blind and, if that finds nothing, by the models."""
    reports = []
    by_codec = list({reading.folder.codec_digest: reading for reading in reversed(readings)}.values())[-MAX_CODECS:]
    for reading in reversed(by_codec):
        tokens = read_context_tokens(reading.codec, reading.encodings[0], reading.first)
        for key in keys:
            mark = find_blind_mark(tokens, derive_noise_key(key.secret, medium))
            reports.append(build_report(mark, key, "blind", reading, num_methods * len(keys) * len(by_codec)))
    if is_fast or any(report.is_found for report in reports):
        return reports
    by_model = [reading for reading in readings if reading.is_causal and can_hold_mark(reading)][:MAX_MODELS]
    num_tests = num_methods * len(keys) * sum(len(each.params) * len(each.encodings) for each in by_model)
    for reading in by_model:
        if (model := load_causal_model(workspace, reading)) is None:
            continue
        for ids in reading.encodings:
            tokens = read_context_tokens(reading.codec, ids, reading.first)
            for candidates in compute_candidates(model, reading, ids):
                for key in keys:
                    mark = find_mark_by_model(tokens, derive_noise_key(key.secret, medium), candidates)
                    reports.append(build_report(mark, key, "model-aware", reading, num_tests))
    return reports


def can_hold_mark(reading: Reading) -> bool:
    """Return whether a value has tokens enough."""
    return max(map(len, reading.encodings)) - reading.first >= MIN_TOKENS


def find_signal_reports(
    workspace: Workspace,
    models: Sequence[Model],
    medium: str,
    keys: Sequence[MarkingKey],
    value: Any,
    record: Mapping[str, Any] | None,
    num_methods: int,
    is_fast: bool,
) -> list[MarkReport]:
    """Return the evidence in the noise that the models' samplers began with."""
    from genloom.trust.known_outputs import list_known_outputs
    from genloom.trust.signal_marks import find_signal_marks

    noise_keys, num_tests = (
        [derive_noise_key(key.secret, medium) for key in keys],
        num_methods * len(keys) * len(models),
    )
    prompt = str((record or {}).get("prompt") or "")
    known = list_known_outputs(workspace, medium, record) if models else ()
    reports = []
    for model in models:
        assert model.folder is not None
        own = [each for each in known if each.model_digest == model.folder.digest]
        marks = find_signal_marks(model, value, noise_keys, {PROMPT: prompt} if prompt else None, is_fast, own)
        for key, mark in zip(keys, marks, strict=True):
            p_value = exp(min(mark.log_p + log(num_tests), 0.0))
            found = MarkReport(p_value, key.id, "model-aware", model.ref, mark.num_numbers, num_tests)
            reports.append(replace(found, output=mark.output))
    return reports


def iter_signal_models(workspace: Workspace, folders: Iterable[ModelFolder]) -> Iterable[Model]:
    """Yield the models of signals whose marks can be read."""
    for folder in folders:
        if isinstance(get_space(folder), SignalSpace):
            from genloom.trust.signal_marks import can_read_mark

            try:
                model = load_model(workspace, folder.ref)
            except (GenloomError, OSError):  # a damaged model
                continue
            if can_read_mark(model):
                yield model


def build_report(mark: TokenMark, key: MarkingKey, method: str, reading: Reading, num_tests: int) -> MarkReport:
    p_value = exp(min(mark.log_p + log(num_tests), 0.0))
    return MarkReport(
        p_value, key.id if mark.num_tokens else "", method, reading.folder.ref, mark.num_tokens, num_tests
    )


def iter_readings(
    medium: str, folders: Iterable[ModelFolder], value: Any, record: Mapping[str, Any] | None
) -> Iterable[Reading]:
    """Yield the value as the tokens of each model, in this order."""
    by_codec: dict[str, list[np.ndarray]] = {}
    writings: list[Any] = []
    for folder in folders:
        writings = writings or list_written_forms(medium, value)
        try:
            design = read_design(folder)
            codec = load_codec(design, folder)
            if not isinstance(codec.space, TokenSpace):
                continue
            if folder.codec_digest not in by_codec:
                by_codec[folder.codec_digest] = [ids for each in writings for ids in encode_form(codec, each)]
            unconditional = replace(design, text_encoder="", conditions={})  # no text encoder is loaded
            objective = build_objective(unconditional, codec.space)
        except (ValueError, OSError):  # a damaged model, or a value that this codec cannot write
            continue
        prefix, params = read_record(codec, record)
        rows = [np.concatenate([prefix, np.asarray(ids, np.int64)]) for ids in by_codec[folder.codec_digest]]
        is_causal = is_open_sequence(codec.space) and all(role.is_causal for role in objective.network_specs.values())
        yield Reading(
            folder,
            codec,
            tuple(ids[:MAX_READ] for ids in rows),
            str((record or {}).get("prompt") or ""),
            params or list_params(medium, design, folder),
            len(prefix),
            is_causal,
        )


def list_written_forms(medium: str, value: Any) -> list[Any]:
    """Return the beginning of a value, where marks are looked for, in each way that it may have been written."""
    part = plugins.find_part("medium", medium)
    if get_ability(part, "count_units")(value) > MAX_UNITS:
        value = get_ability(part, "cut")(value, MAX_UNITS)
    return list(get_ability(part, "list_writings")(value))


def encode_form(codec: Codec, value: Any) -> list[np.ndarray]:
    return codec.list_encodings(value) if isinstance(codec, MarkedCodec) else [codec.encode(value)]


def read_design(folder: ModelFolder) -> Design:
    return Design.from_job(tomllib.loads((folder.folder / "job.toml").read_text()))


def get_space(folder: ModelFolder) -> Space | None:
    """Return the space of a model's codec; None for a damaged model, which `genloom doctor` reports."""
    try:
        return load_codec(read_design(folder), folder).space
    except (ValueError, OSError):
        return None


def list_folders(workspace: Workspace, medium: str, record: Mapping[str, Any] | None) -> list[ModelFolder]:
    """List the models of a medium, active versions and the newest first; only that of the record, if it is there."""
    if record is not None:
        try:
            folder = workspace.get_model(str(record.get("model")))
            if folder.digest == record.get("model_digest"):
                return [folder]
        except ValueError:
            pass
    folders = [*workspace.list_models(), *workspace.list_built_in_models()]
    folders = [folder for folder in folders if get_medium(folder) == medium]
    active = {folder.ref for folder in workspace.list_active_models()}
    return sorted(folders, key=lambda folder: (folder.ref in active, folder.created), reverse=True)


def get_medium(folder: ModelFolder) -> str:
    """Return the medium of a model; "" if its job is damaged."""
    try:
        return read_design(folder).medium
    except (ValueError, OSError):
        return ""


def read_record(codec: Codec, record: Mapping[str, Any] | None) -> tuple[np.ndarray, tuple[Mapping[str, Any], ...]]:
    """Return the tokens that the model read before the value, with BOS, and the recorded sampling parameters."""
    bos, request = np.array([cast(TokenSpace, codec.space).bos], np.int64), (record or {}).get("request") or {}
    prompt_ids, row = request.get("prompt_ids") or (), int((record or {}).get("row") or 0)
    prefix = np.asarray(prompt_ids[row], np.int64) if row < len(prompt_ids) else bos
    return prefix, ((request["params"],) if request.get("params") else ())


def list_params(medium: str, design: Design, folder: ModelFolder) -> tuple[Mapping[str, Any], ...]:
    """Return the sampling parameters that people most likely use: those suggested, of a chat, and the model's own."""
    objective = plugins.find_part("objective", design.objective)
    options = {each.name: each.suggested for each in list_options(objective.SamplingParams)}
    suggested = {name: value for name, value in options.items() if value is not None}
    by_medium = get_ability(plugins.find_part("medium", medium), "suggested_params")
    suggested |= {name: value for name, value in by_medium.items() if name in options}
    return (suggested, *([CHAT_PARAMS] if folder.has_learned_roles else []), {})


def load_causal_model(workspace: Workspace, reading: Reading) -> Model | None:
    """Return the model; None for a damaged one, which `genloom doctor` reports."""
    try:
        return load_for_scoring(workspace, reading.folder.ref)
    except (GenloomError, OSError):
        return None


@torch.inference_mode()
def compute_candidates(model: Model, reading: Reading, ids: np.ndarray) -> list[dict[int, Candidates]]:
    """Return the candidates at each position, for each of the sampling parameters; conditions count as unknown."""
    network, space = model.parts["model"], cast(TokenSpace, reading.codec.space)
    known = {option.name for option in list_options(SamplingParams)}
    settings = [
        parse_settings(SamplingParams, {name: value for name, value in params.items() if name in known}, "generate")
        for params in reading.params
    ]
    settings = [replace(each, temperature=max(each.temperature, 0.05)) for each in settings]
    found: list[dict[int, Candidates]] = [{} for _ in settings]
    allowed_LV = list_allowed(reading, ids)
    length, start, done = model.design.context_length or len(ids), 0, max(reading.first, 1)
    while done < len(ids):
        # Text beyond the context is read in windows that overlap by half.
        start = max(done - length // 2, 0) if done >= start + length else start
        window = torch.from_numpy(ids[start : start + length]).to(model.device)
        logits_LV = network(window[None], cond=None)[0].float().cpu()
        last = min(start + len(window), len(ids) - 1)
        for begin in range(done, last + 1, _PIECE):
            positions = range(begin, min(begin + _PIECE, last + 1))
            logits_NV = logits_LV[begin - 1 - start : positions[-1] - start, : space.vocab_size]
            if allowed_LV is not None:
                logits_NV = logits_NV.masked_fill(~allowed_LV[positions.start : positions.stop], -torch.inf)
            for params, candidates in zip(settings, found, strict=True):
                chance_NV = process_logits(logits_NV.clone(), [ids[:at] for at in positions], params).softmax(1)
                for at, chance_V in zip(positions, chance_NV.numpy(), strict=True):
                    candidates[at] = list_candidates(chance_V, int(ids[at]))
        done = last + 1
    return found


def list_allowed(reading: Reading, ids: np.ndarray) -> torch.Tensor | None:
    """Return which tokens could follow at each position, L V; None if the codec allows all."""
    if not isinstance(reading.codec, ConstrainedCodec):
        return None
    constraint = reading.codec.build_constraint([reading.prompt], 1 << 30)
    rows = [constraint([ids[:position]])[0] for position in range(1, len(ids))]
    return torch.from_numpy(np.stack([np.ones_like(rows[0]), *rows])) if rows else None
