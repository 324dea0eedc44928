"""The JSON Schema Test Suite (2020-12) against formats: which schemas are kept to, and whether ever wrongly.

    python bench/assistant.py grammar --suite          # about two minutes; the suite comes with the sdist of jsonschema

A schema is refused by name, or supported. For each supported one the grammar is asked about every instance of the suite
(none that the suite calls invalid may be allowed), and a random model writes outputs, which the package jsonschema
judges. A text that the limit of tokens cut is no JSON and is counted apart: its record says so.
"""

import contextlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from genloom.codecs import bytes as plain
from genloom.errors import GenloomError
from genloom.generate import engine
from genloom.generate.grammar import fits_grammar
from genloom.generate.output_format import OutputFormat, build_output_format
from genloom.model import Design, Model, build_networks, build_objective, resolve_space

PACKAGE = "jsonschema==4.26.0"
OUTPUTS, MAX_TOKENS = 4, 400
CLOSERS = {'"': 7.0, "}": 6.0, "]": 6.0}  # a random model would write strings without end


@dataclass(frozen=True)
class Case:
    """A schema of the suite, with instances that fit it or not."""

    file: str
    name: str
    schema: Any
    instances: list[tuple[Any, bool]]


@dataclass
class Report:
    """The counts of a run, and what is wrong."""

    supported: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by the file of the suite
    reasons: Counter[str] = field(default_factory=Counter)
    valid_allowed: int = 0
    valid_refused: int = 0
    invalid_refused: int = 0
    invalid_allowed: list[str] = field(default_factory=list)
    outputs_valid: int = 0
    outputs_cut: int = 0
    outputs_failed: int = 0
    outputs_invalid: list[str] = field(default_factory=list)


def fetch_suite(folder: Path) -> Path:
    """Return the folder of the suite's cases, from the source package of jsonschema."""
    call = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", PACKAGE]
    subprocess.run([*call, "-d", str(folder)], check=True, timeout=600)
    (archive,) = folder.glob("jsonschema-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    (found,) = folder.glob("jsonschema-*/json/tests/draft2020-12")
    return found


def iter_cases(folder: Path) -> Iterator[Case]:
    """Yield the cases of the suite's obligatory files."""
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            instances = [(test["data"], test["valid"]) for test in group["tests"]]
            yield Case(path.stem, group["description"], group["schema"], instances)


def build_random_model() -> Model:
    """Return a small model of bytes with random weights."""
    codec = plain.Codec.fit([], plain.Config())
    design = Design(
        "bytes", "autoregressive", "transformer", 512, network_settings={"width": 16, "depth": 1, "heads": 2}
    )
    objective = build_objective(design, resolve_space(design, codec))
    torch.manual_seed(0)
    return Model("random", codec, objective, build_networks(design, objective), design)


def judge_suite(folder: Path, num_outputs: int = OUTPUTS) -> Report:
    """Judge all cases."""
    report, model = Report(), build_random_model()
    for case in iter_cases(folder):
        try:
            output_format = build_output_format(schema=case.schema)
            assert output_format is not None
        except GenloomError as error:
            report.refused[case.file] += 1
            report.reasons[f"{error.fields.get('place')}: {error.fields.get('reason')}"] += 1
            continue
        report.supported += 1
        judge_instances(report, case, output_format, model)
        judge_outputs(report, case, output_format, model, num_outputs)
    return report


def judge_instances(report: Report, case: Case, output_format: OutputFormat, model: Model) -> None:
    """Ask the grammar about the instances of the suite."""
    for value, is_valid in case.instances:
        text = json.dumps(value, ensure_ascii=False)
        ids = model.codec.encode(text).tolist()
        try:
            is_allowed = fits_grammar(model.codec, output_format.grammar, (), ids)
        except GenloomError:
            is_allowed = False  # no text fits
        if is_valid:
            report.valid_allowed += is_allowed
            report.valid_refused += not is_allowed
        elif is_allowed:
            report.invalid_allowed.append(f"{case.file} / {case.name}: {text[:80]}")
        else:
            report.invalid_refused += 1


def judge_outputs(report: Report, case: Case, output_format: OutputFormat, model: Model, count: int) -> None:
    """Let the random model write, and judge its texts by jsonschema."""
    import jsonschema

    bias = tuple((int(model.codec.encode(text)[0]), value) for text, value in CLOSERS.items())
    request = engine.build_request([""], count, 1, (), {"max_tokens": MAX_TOKENS, "temperature": 1.0})
    request = engine.replace(request, grammar=output_format.grammar, logit_bias=bias)
    try:
        draft = engine.run_request(model, request)
    except GenloomError as error:
        report.outputs_failed += count
        report.reasons[f"while writing: {error.code}"] += 1
        return
    validator = jsonschema.Draft202012Validator(case.schema)
    for text, ids in zip(draft.continuations, draft.token_ids, strict=True):
        if not fits_grammar(model.codec, output_format.grammar, (), ids):
            report.outputs_cut += 1
            continue
        with contextlib.redirect_stderr(io.StringIO()):
            is_valid = validator.is_valid(json.loads(text))
        if is_valid:
            report.outputs_valid += 1
        else:
            report.outputs_invalid.append(f"{case.file} / {case.name}: {text[:80]}")


def print_report(report: Report) -> None:
    total = report.supported + sum(report.refused.values())
    print(f"schemas of the suite: {total}; supported {report.supported}, refused by name {total - report.supported}")
    print(f"  refused by file: {', '.join(f'{name} {count}' for name, count in report.refused.most_common(30))}")
    judged = report.invalid_refused + len(report.invalid_allowed)
    print(f"instances that are invalid: {judged}, of which the grammar allows {len(report.invalid_allowed)}")
    print(f"instances that are valid: {report.valid_allowed + report.valid_refused}, allowed {report.valid_allowed}")
    complete = report.outputs_valid + len(report.outputs_invalid)
    ended = f"{report.outputs_cut} cut, {report.outputs_failed} ended by an error"
    print(f"outputs: {complete} complete, of which {report.outputs_valid} valid; {ended}")
    for line in [*report.invalid_allowed, *report.outputs_invalid]:
        print(f"  WRONG {line}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print_report(judge_suite(fetch_suite(Path(folder))))


if __name__ == "__main__":
    main()
