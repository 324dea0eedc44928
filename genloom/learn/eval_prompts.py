"""Prompts and answers of rated outputs as the model reads them, for training and for new answers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from genloom import plugins
from genloom.capabilities import ResamplingConditioner
from genloom.codecs.chat_template import ChatCodec, render_chat
from genloom.errors import GenloomError
from genloom.generate import conditions, engine, output_records
from genloom.generate.editing import needs_start
from genloom.generate.marking import mark_request
from genloom.generate.selection import find_withheld_rows
from genloom.model import Model
from genloom.noise import NUM_NONCES
from genloom.old_names import upgrade_request
from genloom.rate.outputs import load_output
from genloom.rate.preferences import Preference, UnpairedPreference
from genloom.rate.prompts import build_task, extract_prompt
from genloom.store.workspace import Workspace
from genloom.train.data.conditions import EncodedCondition, EncodedConditions, encode_values
from genloom.train.data.samples import EncodedSamples, concat_samples, encode_samples
from genloom.train.preference.dataset import PreferenceDataset, TokenRows
from genloom.types import Item, Message, TokenSpace


@dataclass(frozen=True)
class EvalPrompt:
    """One output as its model read and generated it."""

    prompt: str  # as people rate it: with the other conditions
    prompt_ids: tuple[int, ...]  # the tokens of the prompt; empty for outputs that are not open sequences
    answer_ids: tuple[int, ...]  # the generated tokens, with the end-of-sequence token if there was one
    request: engine.Request  # of this row alone


def parse_eval_prompt(workspace: Workspace, model: Model, record: Mapping[str, Any]) -> EvalPrompt:
    """Parse the record of an output, for a model with the same conditions."""
    if record.get("speech"):  # which consists of several samples
        raise GenloomError("learn.spoken_output", output=record.get("id"), model=model.ref)
    request_record, row = upgrade_request(record.get("request") or {}), int(record.get("row") or 0)
    ids, nonces = request_record.get("prompt_ids") or (), request_record.get("nonces") or ()
    given = request_record.get("given") or ()
    request = engine.Request(
        (str(record.get("prompt") or ""),),
        (int(nonces[row]) if nonces else 0,),
        tuple(request_record.get("stop") or ()),
        dict(request_record.get("params") or {}),
        (tuple(ids[row]),) if ids else (),
        tuple(request_record.get("eos_ids") or ()),
        given=output_records.unpack_given(workspace, model, given[row : row + 1]),
        edit=output_records.load_edit(workspace, model, request_record.get("edit")),
    )
    space, prompt = model.codec.space, build_condition_text(record)
    if not engine.is_open_sequence(space):
        return EvalPrompt(prompt, (), (), request)
    if (token_ids := read_token_ids(model, record)) is not None:
        return EvalPrompt(prompt, build_prompt_ids(model, request), token_ids, request)
    assert isinstance(space, TokenSpace), "open sequences are tokens"
    if (text := record.get("written")) is None:
        raise GenloomError("learn.not_text", output=record.get("id"), model=model.ref)
    answer_ids = np.asarray(model.codec.encode(text), np.int64)
    max_tokens = int(request.params.get("max_tokens") or engine.get_default_max_tokens(model))
    if len(answer_ids) < max_tokens and not request.stop:
        answer_ids = np.append(answer_ids, request.eos_ids[0] if request.eos_ids else space.eos)
    return EvalPrompt(prompt, build_prompt_ids(model, request), to_ids(answer_ids), request)


def build_condition_text(record: Mapping[str, Any]) -> str:
    """Return the prompt of an output, apart from its conversation, with the other conditions."""
    return extract_prompt({"prompt": record.get("prompt"), "given": record.get("given")})


def read_token_ids(model: Model, record: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the tokens of an output as they were generated; None if they are not recorded, or of another codec."""
    token_ids = record.get("token_ids")
    codec_digest = None if model.folder is None else model.folder.codec_digest
    return tuple(token_ids) if token_ids is not None and record.get("codec_digest") == codec_digest else None


def build_prompt_ids(model: Model, request: engine.Request) -> tuple[int, ...]:
    """Return the last tokens of a request of one row; half of the context is left for the answer."""
    max_prompt_tokens = max(model.design.context_length // 2, 1)
    if request.prompt_ids:
        return request.prompt_ids[0][-max_prompt_tokens:]
    if request.edit and (prefixes := request.edit.prepare(model, request).inputs.get("prompt_ids")):
        return to_ids(prefixes[0][-max_prompt_tokens:])
    bos = cast(TokenSpace, model.codec.space).bos
    return to_ids(engine.with_bos(bos, engine.encode_prefix(model, request.prompts[0]), max_prompt_tokens))


def to_ids(ids: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in ids)


def build_preference_dataset(
    workspace: Workspace, model: Model, pairs: Sequence[Preference], unpaired: Sequence[UnpairedPreference] = ()
) -> PreferenceDataset:
    """Build a data set of pairs; with unpaired preferences, of single answers, desirable or not."""
    outputs = [*(p.chosen for p in pairs), *(p.rejected for p in pairs), *(o.output for o in unpaired)]
    encoded_outputs = encode_outputs(workspace, model, dict.fromkeys(outputs))

    def build(
        outputs: Sequence[str], rejected: TokenRows, desirable: Sequence[bool], weights: Iterable[float]
    ) -> PreferenceDataset:
        return PreferenceDataset(
            encoded_outputs.select_prompts(outputs),
            encoded_outputs.select_answers(outputs),
            rejected,
            tuple(desirable),
            tuple(map(float, weights)),
            encoded_outputs.samples,
            encoded_outputs.conditions,
            encoded_outputs.select_condition_rows(outputs),
        )

    rejected = encoded_outputs.select_answers([pair.rejected for pair in pairs])
    paired_dataset = build([p.chosen for p in pairs], rejected, (), (p.weight for p in pairs)) if pairs else None
    if not unpaired:
        assert paired_dataset is not None, "there is something to learn from"
        return paired_dataset
    unpaired_dataset = build(
        [o.output for o in unpaired], (), [o.is_desirable for o in unpaired], (o.weight for o in unpaired)
    )
    return (
        unpaired_dataset if paired_dataset is None else concat_unpaired(paired_dataset.unpaired_view, unpaired_dataset)
    )


@dataclass(frozen=True)
class EncodedOutputs:
    """Prompt and answer of outputs as tokens; other than open sequences as indices of samples."""

    rows: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]  # by output
    samples: EncodedSamples | None = None
    conditions: EncodedConditions = field(default_factory=dict)  # of open sequences, in the order of the outputs

    def select_prompts(self, outputs: Sequence[str]) -> TokenRows:
        return tuple(self.rows[output][0] for output in outputs)

    def select_answers(self, outputs: Sequence[str]) -> TokenRows:
        return tuple(self.rows[output][1] for output in outputs)

    def select_condition_rows(self, outputs: Sequence[str]) -> tuple[int, ...]:
        position = {output: n for n, output in enumerate(self.rows)}
        return tuple(position[output] for output in outputs) if self.conditions else ()


def encode_outputs(workspace: Workspace, model: Model, outputs: Iterable[str]) -> EncodedOutputs:
    """Encode outputs with their conditions."""
    stored = {output: workspace.verify_output(output) for output in outputs}
    parsed = {output: parse_eval_prompt(workspace, model, record) for output, (_, record) in stored.items()}
    encoded_conditions = encode_requests(model, [each.request for each in parsed.values()])
    if engine.is_open_sequence(model.codec.space):
        rows = {output: (each.prompt_ids, each.answer_ids) for output, each in parsed.items()}
        return EncodedOutputs(rows, conditions=encoded_conditions)
    rows = {output: ((n,), (n,)) for n, output in enumerate(stored)}
    return EncodedOutputs(rows, replace(encode_stored_values(model, stored.values()), conditions=encoded_conditions))


def encode_stored_values(model: Model, stored: Collection[tuple[Path, Mapping[str, Any]]]) -> EncodedSamples:
    """Encode the values of outputs of one size: their tokens as they were generated, if all are recorded."""
    space, ids = model.codec.space, [read_token_ids(model, record) for _, record in stored]
    if isinstance(space, TokenSpace) and None not in ids:
        return EncodedSamples(np.array([(space.bos, *row) for row in ids if row is not None], np.uint32))
    items = (Item(load_output(*stored_output)) for stored_output in stored)
    return concat_samples(list(encode_samples(items, model.codec, {})))


def encode_requests(model: Model, requests: Sequence[engine.Request]) -> dict[str, EncodedCondition]:
    """Encode the conditions of requests of one row each, on the grid of the samples; {} for an unconditional model."""
    rows = [conditions.build_given(model, request.prompts, request.given)[0] for request in requests]
    resampling = {name: each for name, each in model.conditioners.items() if isinstance(each, ResamplingConditioner)}
    rows = [
        {name: resampling[name].resample_value(value) if name in resampling else value for name, value in row.items()}
        for row in rows
    ]
    return encode_values(model.conditioners, rows)


def concat_unpaired(first: PreferenceDataset, second: PreferenceDataset) -> PreferenceDataset:
    """Concatenate single answers; both share their samples, if there are any."""
    return PreferenceDataset(
        first.prompts + second.prompts,
        first.answers + second.answers,
        (),
        first.desirable + second.desirable,
        first.weights + second.weights,
        first.samples,
        first.conditions,
        first.condition_rows + second.condition_rows,
    )


def build_eval_prompts(
    workspace: Workspace, model: Model, outputs: Iterable[str], max_prompts: int, rated_nonces: Collection[int] = ()
) -> list[EvalPrompt]:
    """Return up to `max_prompts` distinct prompts of outputs, each with the request of its first output.

    Interpolated outputs, and edited ones that start from something, are left out: their prompt alone does not reproduce
    them. Nonces are new, since with the nonce of a preferred output its model would generate that output again; none is
    one of `rated_nonces`. Each output without a prompt counts as one.
    """
    eval_prompts: dict[str, EvalPrompt] = {}
    for output in outputs:
        record = workspace.get_output(output)[1]
        if upgrade_request(record.get("request") or {}).get("interpolation"):
            continue
        eval_prompt = parse_eval_prompt(workspace, model, record)
        if (edit := eval_prompt.request.edit) is not None and needs_start(edit):
            continue
        eval_prompts.setdefault(eval_prompt.prompt or build_task(output, record), eval_prompt)
        if len(eval_prompts) == max_prompts:
            break
    rng = np.random.default_rng([0, 1])  # of which no request of a person draws
    nonces = rng.integers(NUM_NONCES, size=len(eval_prompts) + len(rated_nonces)).tolist()
    unused_nonces = (nonce for nonce in nonces if nonce not in rated_nonces)
    return [
        replace(eval_prompt, request=replace(eval_prompt.request, nonces=(nonce,)))
        for eval_prompt, nonce in zip(eval_prompts.values(), unused_nonces, strict=False)
    ]


def list_nonces(workspace: Workspace, outputs: Iterable[str]) -> set[int]:
    """Return the nonces of outputs."""
    records = (workspace.get_output(output)[1] for output in outputs)
    return {int(n) for record in records for n in (record.get("request") or {}).get("nonces") or ()}


def build_new_prompts(
    workspace: Workspace, model: Model, template_output: str, prompts: Sequence[str]
) -> list[EvalPrompt]:
    """Build prompts without rated answers, in the form of the template output: as a chat message, or plain."""
    record = workspace.get_output(template_output)[1]
    template = parse_eval_prompt(workspace, model, record)
    messages = [
        Message(stored_message["role"], stored_message["content"])
        for stored_message in record.get("conversation") or ()
    ]
    system_messages = [message for message in messages if message.role == "system"]
    nonces = engine.build_request(
        list(prompts) or [""], 1, 2, (), {}, engine.is_open_sequence(model.codec.space)
    ).nonces
    eval_prompts = []
    for prompt, nonce in zip(prompts, nonces, strict=bool(prompts)):
        request = replace(template.request, prompts=(prompt,), nonces=(nonce,), edit=None)
        if template.request.prompt_ids:
            ids = render_chat(
                cast(ChatCodec, model.codec), [*system_messages, Message("user", prompt)], add_generation_prompt=True
            )[0]
            request = replace(request, prompt_ids=(to_ids(ids),))
        prompt_ids = build_prompt_ids(model, request) if engine.is_open_sequence(model.codec.space) else ()
        text = build_condition_text({"prompt": prompt, "given": record.get("given")})
        eval_prompts.append(EvalPrompt(text, prompt_ids, (), request))
    return eval_prompts


def generate_answers(
    workspace: Workspace, model: Model, eval_prompts: Sequence[EvalPrompt], metadata: Mapping[str, Any]
) -> list[Any]:
    """Generate and store answers in the order of the prompts, each with its own nonce and sampling parameters."""
    medium = plugins.find_part("medium", model.design.medium)
    answers: dict[int, Any] = {}
    groups: dict[str, list[int]] = {}
    for n, eval_prompt in enumerate(eval_prompts):  # a request has one set of sampling parameters
        group_key = (
            sorted(eval_prompt.request.params.items()),
            eval_prompt.request.stop,
            eval_prompt.request.eos_ids,
            bool(eval_prompt.request.prompt_ids),
            bool(eval_prompt.request.given),
            None if eval_prompt.request.edit is None else n,  # an edit is that of a request
        )
        groups.setdefault(repr(group_key), []).append(n)
    for indices in groups.values():
        requests = [eval_prompts[n].request for n in indices]
        request = engine.Request(
            tuple(r.prompts[0] for r in requests),
            tuple(r.nonces[0] for r in requests),
            requests[0].stop,
            requests[0].params,
            tuple(r.prompt_ids[0] for r in requests if r.prompt_ids),
            requests[0].eos_ids,
            edit=requests[0].edit,
            given=tuple(values for r in requests for values in r.given),
        )
        num_done = 0
        request = mark_request(workspace, model, request)
        for batch in engine.split_batches(request, engine.fit_batch_size(model)):
            draft = engine.run_request(model, batch)
            withheld = find_withheld_rows(medium, draft.values)
            output_records.store_outputs(workspace, model, batch, draft, metadata, withheld_rows=withheld)
            for answer in draft.continuations:
                answers[indices[num_done]] = answer
                num_done += 1
    return [answers[n] for n in range(len(eval_prompts))]
