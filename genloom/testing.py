"""Contracts of parts, for tests of built-in parts and of plugins; failures name what broke.

Shape letters: B batch, L length, N values or documents, D width, K keys, P bytes of a signature, S states.
"""

import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from genloom import plugins
from genloom.capabilities import unwrap
from genloom.media.abilities import get_ability
from genloom.noise import Noise, build_training_noise
from genloom.settings import parse
from genloom.types import (
    Batch,
    CausalNetwork,
    Codec,
    Condition,
    Conditioner,
    ConditionSpec,
    Item,
    NetworkSpec,
    Objective,
    Parts,
    PreferencePairs,
    Rollouts,
    Shown,
    SignalSpace,
    Space,
    TextEncoder,
    TokenSpace,
    UnpairedPreferences,
)

Network = TypeVar("Network", bound=nn.Module)
TOLERANCE = 2e-4  # above the effect of summation order in float32


def check_codec(codec: Codec, values: Iterable[Any], is_close: Callable[[Any, Any], bool] | None = None) -> None:
    """Check that values survive encoding, tokens are in the vocabulary, and a saved codec loads as the same codec.

    Tokens must decode to the value itself; signals, which may round, to a value with the same encoding. For a codec
    with larger losses, `is_close(value, roundtrip)` decides.
    """
    values = list(values)
    assert values, "check_codec needs values"
    space, encodings = codec.space, [np.asarray(codec.encode(value)) for value in values]
    for value, x in zip(values, encodings, strict=True):
        if isinstance(space, TokenSpace):
            assert x.ndim == 1, f"encode must return a 1-D array of tokens (got shape {x.shape} for {value!r:.80})"
            assert x.dtype.kind in "iu", f"tokens must be integers (got {x.dtype})"
            is_inside = x.size == 0 or (int(x.min()) >= 0 and int(x.max()) < space.vocab_size)
            assert is_inside, f"tokens of {value!r:.80} are outside the vocabulary of {space.vocab_size}"
        else:
            assert x.shape == (space.channels, *space.size), f"encode returned shape {x.shape} for {space}"
        roundtrip = codec.decode(x)
        if is_close is not None or isinstance(space, TokenSpace):
            is_match = roundtrip == value if is_close is None else is_close(value, roundtrip)
            assert is_match, f"decode(encode(x)) is {roundtrip!r:.80} for x = {value!r:.80}"
        else:
            assert_close(codec.encode(roundtrip), x, "a decoded value must encode to the same numbers")
    for x, batch_encoding in zip(encodings, codec.encode_many(values), strict=True):
        assert np.array_equal(x, batch_encoding), "encode_many must return the results of encode in order"
    with tempfile.TemporaryDirectory() as folder:
        codec.save(Path(folder))
        loaded_codec = cast(Any, type(codec)).load(Path(folder))
    assert loaded_codec.space == space, f"a saved codec loads with {loaded_codec.space} instead of {space}"
    for value, x in zip(values, encodings, strict=True):
        assert np.array_equal(loaded_codec.encode(value), x), f"a saved codec encodes {value!r:.80} differently"


def check_network(network: nn.Module, spec: NetworkSpec) -> None:
    """Check that a network fits its spec, treats rows independently, and ignores padding and, if causal, later tokens.

    Reading in pieces through the cache must equal reading at once. The check uses a copy with perturbed weights, since
    zero-initialised layers would hide errors.
    """
    network = perturb_weights(network).eval().requires_grad_(False)
    x, t, cond = random_inputs(spec, num_rows=4)
    output = network(x, t, cond=cond)
    assert output.shape == expected_shape(spec.output, x), f"the output has shape {output.shape} for {spec.output}"
    assert output.isfinite().all(), "the output is not finite"
    for i in range(len(x)):
        row = slice(i, i + 1)
        row_output = network(x[row], None if t is None else t[row], cond=cond.select_rows(row))
        assert_close(row_output, output[row], "a row read alone must equal the row in a batch")
    check_conditions(network, spec, x, t, cond)
    if isinstance(spec.input, SignalSpace) and spec.input.size:
        check_signal_padding(network, spec, x, t, cond)
    if isinstance(spec.input, TokenSpace):
        check_padding(network, spec, x, t, cond)
        if spec.is_causal and isinstance(spec.output, TokenSpace):
            check_causal(network, x, t, cond)
            check_cache(network, x, cond)


def check_conditions(network: nn.Module, spec: NetworkSpec, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Check that each condition changes the output, and that a masked condition equals no condition."""
    output, uncond_output = network(x, t, cond=cond), network(x, t)
    masked_cond = cond.mask_rows(torch.zeros(len(x), dtype=torch.bool))
    assert_close(
        network(x, t, cond=masked_cond),
        uncond_output,
        "a condition with all rows masked must equal no condition",
    )
    for name in ("tokens", "vector", "field"):
        if getattr(spec.condition, name):
            partial_cond = replace(cond, **{name: None})
            assert not torch.allclose(network(x, t, cond=partial_cond), output, atol=TOLERANCE), (
                f"cond.{name} changes nothing"
            )


def check_padding(network: nn.Module, spec: NetworkSpec, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Check that padding on the right, whatever its content and length, changes nothing."""
    B, L = x.shape
    lengths = L - 1 - torch.arange(B) % (L - 1)
    short_output = network(x[:, :-1], t, cond=cond, lengths=lengths)
    is_real = torch.arange(L) < lengths[:, None]
    long_output = network(torch.where(is_real, x, x.flip(1)), t, cond=cond, lengths=lengths)
    if isinstance(spec.output, TokenSpace):
        short_output, long_output = short_output[is_real[:, :-1]], long_output[is_real]
    assert_close(long_output, short_output, "padding on the right must change nothing")


def check_signal_padding(network: nn.Module, spec: NetworkSpec, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Check that the content of a signal beyond the length of its row changes nothing up to that length."""
    lengths = 1 + torch.arange(len(x)) % x.shape[2]
    is_padding = build_padding_mask(x, lengths)
    outputs = [
        network(padded_x, t, cond=cond, lengths=lengths)
        for padded_x in (x, torch.where(is_padding, x.flip(0) + 1, x), torch.where(is_padding, 0, x))
    ]
    if isinstance(spec.output, SignalSpace) and spec.output.size == x.shape[2:]:
        is_padding = build_padding_mask(outputs[0], lengths)
        outputs = [output.masked_fill(is_padding, 0) for output in outputs]
    for output in outputs[1:]:
        assert_close(output, outputs[0], "the padding of a signal must change nothing")


def build_padding_mask(x: Tensor, lengths: Tensor) -> Tensor:
    is_padding = torch.arange(x.shape[2]) >= lengths[:, None]
    return is_padding.view(len(x), 1, -1, *[1] * (x.ndim - 3)).expand_as(x)


def check_causal(network: nn.Module, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Check that changing a token changes no output before it."""
    output = network(x, t, cond=cond)
    for i in range(1, x.shape[1]):
        perturbed_x = x.clone()
        perturbed_x[:, i:] = x[:, i:].flip(0)
        assert_close(
            network(perturbed_x, t, cond=cond)[:, :i], output[:, :i], f"the token at {i} changes outputs before it"
        )


def check_cache(network: nn.Module, x: Tensor, cond: Condition) -> None:
    """Check that reading in pieces through the cache, with rows of different lengths, equals reading at once."""
    B, L = x.shape
    full_output, causal_network = network(x, cond=cond), cast(CausalNetwork, network)
    cache, outputs, first = causal_network.init_cache(B, L), [], 0
    for size in (1, 3, 2, L):
        outputs.append(
            causal_network(x[:, first : first + size], cond=cond, cache=cache) if first < L else full_output[:, :0]
        )
        first += size
    assert_close(torch.cat(outputs, 1), full_output, "reading in pieces must equal reading at once")
    assert cache.lengths.tolist() == [L] * B, f"after {L} tokens the cache counts {cache.lengths.tolist()}"

    lengths = torch.arange(B) % (L - 1) + 1
    cache = causal_network.init_cache(B, L)
    ragged_output = causal_network(x[:, : int(lengths.max())], cond=cond, lengths=lengths, cache=cache)
    last_index = torch.arange(B), lengths - 1
    assert_close(
        ragged_output[last_index], full_output[last_index], "rows of different lengths must equal rows read alone"
    )
    order = torch.arange(B).flip(0)
    cache, cond = cache.select_rows(order), cond.select_rows(order)
    x, full_output, lengths = x[order], full_output[order], lengths[order]
    while (lengths < L).any():
        num_new = (lengths < L).long()  # 0 for a row that is done
        index = torch.arange(B), lengths.clamp(max=L - 1)
        out_BV = causal_network(x[index][:, None], cond=cond, lengths=num_new, cache=cache)[:, 0]
        assert_close(
            out_BV[num_new.bool()],
            full_output[index][num_new.bool()],
            "a cache with re-ordered rows must continue the same",
        )
        lengths = lengths + num_new


def check_objective(
    objective: Objective[Any],
    parts: Parts,
    batch: Batch | PreferencePairs | UnpairedPreferences | Rollouts,
    params: Any = None,
) -> None:
    """Check that losses are one finite number per row, a function of the noise and the row alone; samples likewise.

    `params` are the sampler's; the default is `SamplingParams()` of the objective's module. Every part that a phase
    trains must get a gradient in it.
    """
    parts = {name: perturb_weights(part) for name, part in parts.items()}
    num_rows, noise = len(batch), build_training_noise(1, 2, 0, len(batch))
    assert set(parts) == set(objective.network_specs), (
        f"parts {sorted(parts)} do not match the network specs {sorted(objective.network_specs)}"
    )
    for phase in objective.phases:
        loss = objective.loss(parts, batch, phase, noise)
        assert loss.per_sample.shape == loss.num_terms.shape == (num_rows,), (
            "per_sample and num_terms have one number per row"
        )
        assert loss.per_sample.isfinite().all(), f"the loss of the phase {phase.name!r} is not finite"
        assert (loss.num_terms >= 0).all(), "num_terms must not be negative"
        weights = {f"{n}.{k}": p for n in phase.trained for k, p in parts[n].named_parameters()}
        grads = torch.autograd.grad(loss.per_sample.sum(), list(weights.values()), allow_unused=True)
        for name in phase.trained:
            part_grads = [
                g for key, g in zip(weights, grads, strict=True) if key.startswith(f"{name}.") and g is not None
            ]
            assert any(bool(g.any()) for g in part_grads), f"the phase {phase.name!r} gives {name!r} no gradient"
        with torch.no_grad():
            for i in range(num_rows):
                row = slice(i, i + 1)
                row_loss = objective.loss(parts, batch.select_rows(row), phase, noise.select_rows(row))
                assert_close(
                    row_loss.per_sample, loss.per_sample[row], "the loss of a row must not depend on its batch"
                )
                assert_close(row_loss.num_terms, loss.num_terms[row], "num_terms of a row must not depend on its batch")
    batch = batch.chosen if isinstance(batch, PreferencePairs) else batch
    check_samples(objective, parts, batch if isinstance(batch, Batch) else batch.batch, params)


def check_samples(objective: Objective[Any], parts: Parts, batch: Batch, params: Any) -> None:
    """Check that the last draft of a row is a function of its nonce and condition alone."""
    if params is None:
        base_objective = unwrap(objective)  # a wrapper samples like its base
        params = sys.modules[type(base_objective).__module__].__dict__["SamplingParams"]()
    for part in parts.values():
        part.eval()
    num_rows, noise = len(batch), Noise(7, tuple(range(len(batch))))
    *_, samples = objective.sample(parts, num_rows, batch.cond, noise, params)
    assert len(samples) == num_rows, f"expected {num_rows} samples, got {len(samples)}"
    *_, repeat_samples = objective.sample(parts, num_rows, batch.cond, noise, params)
    assert torch.equal(repeat_samples, samples), "the same noise must give the same samples"
    for i in range(num_rows):
        row = slice(i, i + 1)
        cond = None if batch.cond is None else batch.cond.select_rows(row)
        *_, row_samples = objective.sample(parts, 1, cond, noise.select_rows(row), params)
        n = row_samples.shape[1]  # a row alone may end earlier
        assert_close(row_samples, samples[row, :n], "a sample must not depend on its batch")


def check_medium(medium: Any, values: Sequence[Any]) -> None:
    """Check that a medium keeps values through bytes and files, and refuses damaged ones with a ValueError.

    `encode` must be deterministic and `decode` its inverse; `save` must leave one complete file, and `open` give it
    back with its path as the source. `preview`, `check` and all abilities (genloom/media/abilities.py) must take
    every value, and the parts that the medium names must exist. The module must import without torch.
    """
    assert values, "check_medium needs values"
    assert isinstance(medium.kind, str) and medium.kind, "kind must be the name of the medium"
    assert isinstance(medium.suffixes, tuple) and medium.suffixes, "suffixes must be a tuple of at least one suffix"
    for suffix in medium.suffixes:
        assert suffix.startswith(".") and suffix == suffix.lower(), f"{suffix!r} is not a suffix in lower case"
    check_imports_without_torch(medium)
    for value in values:
        data = medium.encode(value)
        assert isinstance(data, bytes), f"encode must return bytes (got {type(data).__name__})"
        assert medium.encode(value) == data, f"encode must be deterministic (is not for {value!r:.80})"
        assert medium.encode(medium.decode(data)) == data, f"decode must invert encode (does not for {value!r:.80})"
        for damaged in (data[: len(data) // 2], data[len(data) // 2 :], b"", b"{}", b"\xff\x00\xff"):
            check_raises_only_value_error(lambda damaged=damaged: medium.decode(damaged), "decode of damaged bytes")
        check_files(medium, value, data)
        check_abilities(medium, value)
    check_shown(get_ability(medium, "sheet")(list(values), [f"number {n}" for n in range(len(values))]), "sheet")
    check_names(medium)


def check_files(medium: Any, value: Any, data: bytes) -> None:
    """Check that a saved value opens as itself, and that a missing file is a ValueError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"value{medium.suffixes[0]}"
        for _ in range(2):  # the second time over an existing file
            medium.save(Item(value), path)
        assert [file.name for file in Path(folder).iterdir()] == [path.name], "save must leave one file"
        item = medium.open(path)
        assert medium.encode(item.value) == data, f"open must return the value that was saved (not {value!r:.80})"
        assert item.source == str(path), f"the source of an opened item must be its path (is {item.source!r})"
        problems = medium.check(item)
        is_list = isinstance(problems, list) and all(isinstance(problem, str) for problem in problems)
        assert is_list, f"check must return a list of problems as text (got {problems!r:.80})"
        assert isinstance(medium.preview(item), str), "preview must return text"
        missing_path = path.with_name(f"missing{path.suffix}")
        try:
            medium.open(missing_path)
        except ValueError as error:
            assert missing_path.name in str(error), "the error of a missing file must name it"
        else:
            raise AssertionError("open must raise a ValueError for a missing file")


def check_abilities(medium: Any, value: Any) -> None:
    """Check what the medium shows, counts, cuts and describes."""
    check_shown(get_ability(medium, "show")(value), "show")
    count_units = get_ability(medium, "count_units")
    num_units = count_units(value)
    assert isinstance(num_units, int) and num_units >= 0, f"count_units must return an integer (got {num_units!r})"
    whole = get_ability(medium, "cut")(value, num_units)
    assert medium.encode(whole) == medium.encode(value), "cut must not change a value that is short enough"
    passages = get_ability(medium, "split")(value, 3)
    assert 1 <= len(passages) <= 3, f"split must return 1 to 3 passages for 3 (got {len(passages)})"
    num_split = sum(count_units(passage) for passage in passages)
    assert num_split == num_units, f"split must keep every unit (has {num_split} of {num_units})"
    facts = get_ability(medium, "describe")(value)
    are_numbers = all(isinstance(name, str) and np.isfinite(fact) for name, fact in facts.items())
    assert are_numbers, f"describe must return finite numbers by name (got {facts!r:.80})"
    if extract_style_features := get_ability(medium, "extract_style_features"):
        features = np.asarray(extract_style_features(value))
        assert features.ndim == 1 and np.isfinite(features).all(), "extract_style_features must return finite numbers"


def check_names(medium: Any) -> None:
    """Check that the medium's words are text and the parts that it names exist."""
    for name in ("unit", "plural"):
        assert isinstance(get_ability(medium, name), str) and get_ability(medium, name), f"{name} must be a word"
    assert get_ability(medium, "sequence") in ("stream", "document"), 'sequence must be "stream" or "document"'
    assert get_ability(medium, "max_tokens") > 0, "max_tokens must be above 0"
    names: list[tuple[plugins.PartKind, str]] = [("features", get_ability(medium, "feature_extractor"))]
    for recipe in get_ability(medium, "default_recipes"):
        names += [("network", recipe.network), ("text_encoder", recipe.text_encoder)]
        names += [("objective", name) for name in recipe.objectives] + [("codec", name) for name in recipe.codecs]
    for kind, name in names:
        assert not name or name in plugins.part_names(kind), f"the medium names a {kind} {name!r}, which does not exist"


def check_shown(shown: Any, ability: str) -> None:
    is_shown = isinstance(shown, Shown) and "/" in shown.mime and isinstance(shown.data, bytes)
    assert is_shown and isinstance(shown.text, str), f"{ability} must return a Shown (got {shown!r:.80})"


def check_imports_without_torch(module: Any) -> None:
    code = f"import sys; import {module.__name__}; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert result.returncode == 0, f"{module.__name__} must import without torch {result.stderr.decode()[-300:]}"


def check_raises_only_value_error(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except ValueError:
        pass
    except Exception as error:
        raise AssertionError(f"{what} must raise nothing but ValueError (raised {error!r:.80})") from error


def check_preparation(name: str, files: Sequence[Path]) -> None:
    """Check the preparation of a medium over files of that medium, as the collection uses it.

    It must select the files, read raw documents and build from each the same document at every call; both pass
    between processes. A damaged file is a Note or a ValueError, never another error. Sketches have a
    row for each document that does not depend on the batch. The columns must decode with the medium.
    """
    from genloom.collect.options import Note, Options, Report
    from genloom.collect.preparation import Skip, get_preparation
    from genloom.collect.sources import SourceFile

    preparation, medium = get_preparation(name), plugins.find_part("medium", name)

    def list_sources(paths: Sequence[Path]) -> list[SourceFile]:
        return [SourceFile(path, path.name, path.stat().st_size, path.parent) for path in paths]

    def read(file: SourceFile) -> list[Any]:
        raw_documents = []
        for raw in preparation.read(file, options):
            is_raw = isinstance(raw, Note) or (isinstance(raw.source, str) and raw.size > 0)
            assert is_raw, f"read must yield documents with a source and a size, or a Note (got {raw!r:.80})"
            raw_documents += [] if isinstance(raw, Note) else [raw]
        return raw_documents

    def build(raw: Any) -> tuple[Any, Any]:
        try:
            return preparation.build_document(raw, options, defaultdict(Counter))
        except Skip as skip:
            assert str(skip) in preparation.drop_reasons, f"drop_reasons has no text for {str(skip)!r}"
            raise

    sources = list_sources(files)
    assert preparation.match_count(sources) > 0, "match_count must count the files of the medium"
    selected, _ = preparation.select(sources)
    assert {file.path for file in selected} == set(files), "select must return every file of the medium"
    assert issubclass(preparation.Config, Options), "Config must be a subclass of genloom.collect.options.Options"
    options = preparation.resolve(preparation.Config(), selected)
    assert preparation.resolve(options, selected) == options, "resolve must keep what is already resolved"
    assert {"exact copy", "near-duplicate"} <= set(preparation.drop_reasons), "drop_reasons lacks those of duplicates"

    raw_documents = [raw for file in selected for raw in read(file)]
    assert raw_documents, "read must yield documents"
    pairs = [build(raw) for raw in raw_documents]
    documents, sketch_inputs = [document for document, _ in pairs], [sketch_input for _, sketch_input in pairs]
    for raw, document in zip(raw_documents, documents, strict=True):
        assert build(raw)[0] == document, "build_document must return the same document at every call"
        for passed in (raw, document):
            try:
                ForkingPickler.dumps(passed)
            except Exception as error:
                raise AssertionError(f"a {type(passed).__name__} must pass between processes: {error}") from error
        assert isinstance(document.digest, bytes) and len(document.digest) == 32, "the digest must be SHA-256"
        assert document.size > 0, "a document must have a size"
    columns = preparation.build_columns(documents)
    clashes = set(columns) & {"id", "text", "source", "licence", "split", "bytes"}
    assert not clashes, f"build_columns returns columns that every data set has: {', '.join(sorted(clashes))}"
    assert all(len(column) == len(documents) for column in columns.values()), "a column has another length"
    for content in columns["content"].to_pylist() if "content" in columns else ():
        medium.decode(content)
    check_sketches(preparation, sketch_inputs, [document.digest for document in documents])

    with tempfile.TemporaryDirectory() as folder:
        damaged_path = Path(folder) / f"damaged{medium.suffixes[0]}"
        damaged_path.write_bytes(b"\xff\x00\xff damaged")
        damaged, _ = preparation.select(list_sources([damaged_path]))
        for raw in [raw for file in damaged for raw in read(file)]:
            with suppress(Skip):
                check_raises_only_value_error(lambda raw=raw: build(raw), "build_document of a damaged file")
    report = Report(name="checked", medium=name, documents_kept=len(documents))
    json.dumps(preparation.build_metadata(report))
    lines = [preparation.describe_splits(report, options), preparation.summary(report), preparation.noun]
    lines += [*preparation.describe_changes(report), *preparation.render_sections(report), preparation.accepted_files]
    assert all(isinstance(line, str) for line in lines), "what describes the data set must be text"


def check_sketches(preparation: Any, sketch_inputs: list[Any], digests: list[bytes]) -> None:
    """Check that a document's sketch is its own, and that its first key stands for its content."""
    sketches = preparation.compute_sketches(sketch_inputs, digests, should_find_near=True)
    keys_BK, signatures_BP = sketches.keys_BK, sketches.signatures_BP
    assert len(keys_BK) == len(signatures_BP) == len(digests), "compute_sketches must return a row for each document"
    assert keys_BK.dtype == np.uint64 and signatures_BP.dtype == np.uint8, "keys are uint64, signatures uint8"
    is_same_key = keys_BK[:, :1] == keys_BK[None, :, 0]
    is_same_digest = np.array([[a == b for b in digests] for a in digests])
    assert np.array_equal(is_same_key, is_same_digest), "equal first keys must mean equal digests"
    for row, (sketch_input, digest) in enumerate(zip(sketch_inputs, digests, strict=True)):
        alone = preparation.compute_sketches([sketch_input], [digest], should_find_near=True)
        is_same = np.array_equal(alone.keys_BK[0], keys_BK[row])
        assert is_same and np.array_equal(alone.signatures_BP[0], signatures_BP[row]), "a sketch depends on its batch"
    if signatures_BP.shape[1]:
        similarities = preparation.similarity(signatures_BP[0], signatures_BP)
        is_valid = similarities.shape == (len(digests),) and similarities.max() <= 1 + 1e-6
        assert is_valid and similarities[0] >= 1 - 1e-6, "similarity must be at most 1, and 1 of a document to itself"


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


def check_text_encoder(encoder: TextEncoder, texts: Sequence[str] = ("a red fox", "", "one of two", " ")) -> None:
    """Check that each text has states (S, width) of root mean square 1, one for each offset, whatever the batch.

    A text without words has no states; equal texts have equal states.
    """
    batch_states = encoder.encode(texts)
    assert len(batch_states) == len(texts), "encode must return states for every text"
    assert len(encoder.encode([])) == 0, "no texts must have no states"
    for text, states in zip(texts, batch_states, strict=True):
        offsets = encoder.compute_offsets(text)
        assert states.shape == (len(offsets), encoder.width), (
            f"{text!r} has states {states.shape}, {len(offsets)} offsets"
        )
        assert states.dtype == np.float32, f"states must be float32 (got {states.dtype})"
        assert text.strip() or not len(states), "a text without words must have no states"
        assert np.allclose((states**2).mean(1), 1, atol=1e-3), f"the states of {text!r} are not of root mean square 1"
        is_ordered = all(0 <= begin < end <= len(text) for begin, end in offsets) and offsets == sorted(offsets)
        assert is_ordered, f"offsets {offsets} are not those of parts of {text!r}"
        alone, first, second = [*encoder.encode([text]), *encoder.encode([text, text])]
        assert alone.shape == states.shape and np.allclose(alone, states, atol=2e-2), "states depend on their batch"
        assert np.array_equal(first, second), "equal texts must have equal states"


def check_conditioner(conditioner: Conditioner, items: Sequence[Item], texts: Sequence[str] = ()) -> None:
    """Check that the values of items, and those that people write as `texts`, are encoded, named and recorded alike.

    Some items must have a value. "Not given" must encode as no condition: zeros, or no states; a value as something
    else, whatever the batch. `format` must name values, and `unpack` return what `pack` stored as JSON and blobs.
    """
    kinds = [kind for kind in ("tokens", "vector", "field") if getattr(conditioner.spec, kind)]
    assert len(kinds) == 1, f"the spec must have one kind (has {', '.join(kinds) or 'none'})"
    values = [value for item in items if (value := conditioner.get_value(item)) is not None]
    assert values, "no item has a value"
    for text in texts:
        values.append(conditioner.parse(text))
    check_raises_only_value_error(lambda: conditioner.parse("\x00 no such value"), "parse of an invalid text")
    together = conditioner.encode([*values, None])
    for kind in ("tokens", "vector", "field"):
        tensor, width = getattr(together, kind), getattr(conditioner.spec, kind)
        assert (tensor is not None) == (kind in kinds), f"encode must return {kinds[0]} and nothing else"
        if tensor is not None:
            assert len(tensor) == len(values) + 1, "encode must return one row for each value"
            found = tensor.shape[-1 if kind == "tokens" else 1]
            assert found == width, f"the spec has a {kind} of width {width}, encode returns {found}"
    assert not list_states(together, len(values)).any(), "a value that is not given must be zero, or masked"
    blobs: dict[str, bytes] = {}

    def save_blob(data: bytes, suffix: str) -> str:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return digest

    for row, value in enumerate(values):
        states = list_states(together, row)
        assert states.any(), f"{value!r:.80} is encoded as if it were not given"
        assert_close(list_states(conditioner.encode([value]), 0), states, "a value is encoded by its batch")
        name = conditioner.format(value)
        assert isinstance(name, str) and name, "format must return text"
        stored = json.loads(json.dumps(conditioner.pack(value, save_blob)))
        unpacked = conditioner.unpack(stored, blobs.__getitem__)
        assert conditioner.format(unpacked) == name, f"{name!r:.80} is unpacked as {conditioner.format(unpacked)!r:.80}"
        assert_close(list_states(conditioner.encode([unpacked]), 0), states, "an unpacked value is encoded differently")
    for first, second in itertools.combinations(range(len(values)), 2):
        is_same = torch.equal(list_states(together, first), list_states(together, second))
        is_same_name = conditioner.format(values[first]) == conditioner.format(values[second])
        assert is_same or not is_same_name, "values that are encoded differently must have different names"


def list_states(cond: Condition, row: int) -> Tensor:
    """Return what a row of a condition tells a network: its states that are not masked, its vector or its field."""
    if cond.tokens is None:
        return cast(Tensor, cond.vector if cond.vector is not None else cond.field)[row]
    return cond.tokens[row] if cond.mask is None else cond.tokens[row][cond.mask[row]]


def check_check(check: Any, values: Sequence[Any], settings: Mapping[str, Any] | None = None) -> None:
    """Check that a check scores every value of its media from 0 to 1, the same at each call, and gives a reason.

    A value passes exactly if its score is 1. `media` names the media that it takes, which must exist.
    """
    from genloom.rate.checks import CheckResult

    assert check.media, "media must name the media that the check takes"
    for medium in check.media:
        assert medium in plugins.part_names("medium"), f"the check takes {medium!r}, which is no medium"
    config = parse(check.Config, settings or {}, "check")
    for value in values:
        result = check.check(value, config)
        assert isinstance(result, CheckResult), f"check must return a CheckResult (got {type(result).__name__})"
        assert 0 <= result.score <= 1, f"the score must be from 0 to 1 (is {result.score} for {value!r:.80})"
        assert result.has_passed == (result.score == 1), "a value must pass exactly if its score is 1"
        assert isinstance(result.reason, str) and result.reason, "a result must have a reason"
        assert check.check(value, config) == result, "a check must give the same result at every call"


def random_inputs(spec: NetworkSpec, num_rows: int, seed: int = 0) -> tuple[Tensor, Tensor | None, Condition]:
    """Return random input, time and condition for the spec, the same for the same seed."""
    rng = torch.Generator().manual_seed(seed)
    input_space, condition_spec = spec.input, spec.condition
    if isinstance(input_space, TokenSpace):
        x = torch.randint(input_space.vocab_size, (num_rows, input_space.context_length), generator=rng)
    else:
        x = torch.randn(num_rows, input_space.channels, *input_space.size, generator=rng)
    t = torch.rand(num_rows, generator=rng) if spec.has_time else None
    return x, t, random_condition(condition_spec, input_space, num_rows, rng)


def random_condition(
    condition_spec: ConditionSpec, input_space: Space, num_rows: int, rng: torch.Generator
) -> Condition:
    size = () if isinstance(input_space, TokenSpace) else input_space.size
    mask = torch.arange(3) < 1 + torch.arange(num_rows)[:, None] % 3
    return Condition(
        torch.randn(num_rows, 3, condition_spec.tokens, generator=rng) if condition_spec.tokens else None,
        mask if condition_spec.tokens else None,
        torch.randn(num_rows, condition_spec.vector, generator=rng) if condition_spec.vector else None,
        torch.randn(num_rows, condition_spec.field, *size, generator=rng) if condition_spec.field else None,
    )


def perturb_weights(network: Network, scale: float = 0.1) -> Network:
    """Return a copy with deterministic noise added to every weight."""
    rng = torch.Generator().manual_seed(0)
    network = deepcopy(network)
    with torch.no_grad():
        for p in network.parameters():
            p += scale * torch.randn(p.shape, generator=rng).to(p)
    return network


def expected_shape(output_space: Space, x: Tensor) -> tuple[int, ...]:
    if isinstance(output_space, TokenSpace):
        return (*x.shape[:2], output_space.vocab_size)
    return (len(x), output_space.channels, *output_space.size)


def assert_close(actual: Any, expected: Any, contract: str) -> None:
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    assert actual.shape == expected.shape, f"{contract}: shapes {tuple(actual.shape)} and {tuple(expected.shape)}"
    gap = (actual.double() - expected.double()).abs().max().item() if actual.numel() else 0.0
    assert gap <= TOLERANCE * max(1.0, expected.double().abs().max().item() if expected.numel() else 0.0), (
        f"{contract}: difference {gap:.3g}"
    )
