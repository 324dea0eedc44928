"""Generation of outputs: from keywords to drafts, and from drafts to stored outputs."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genloom.api.arguments import Rows, drop_progress, to_list
from genloom.api.generation_requests import apply_presets, build_request, continue_request
from genloom.api.outputs import Output, Outputs
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.api.cluster_work import GenerateBatches
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.generate.decode import Draft
    from genloom.generate.engine import Request
    from genloom.generate.selection import SelectionReport
    from genloom.model import Model as LoadedModel
    from genloom.settings import OptionInfo


@dataclass(frozen=True)
class GenerationProgress:
    """A step towards the next outputs.

    A text that is generated from left to right only grows from step to step (`is_streamed`), so it can be shown while
    it is generated.
    """

    step: int
    total: int  # the most steps that this batch takes
    count: int  # outputs of the whole request
    draft: "Draft | None"
    is_streamed: bool
    num_withheld: int = 0  # outputs of the request so far that are not handed out, because they copy training data
    selection: "SelectionReport | None" = None  # what a choice among more outputs has reached so far
    understood: str = ""  # what was read in the wishes for the outputs, said before any is generated

    def compute_share(self, num_outputs: int) -> float:
        """Return the share of the whole request that is done, if this many outputs have come."""
        share = self.step / self.total
        if self.selection is not None or self.draft is None:
            return share if num_outputs == 0 else num_outputs / self.count
        done = num_outputs + self.num_withheld + len(self.draft.is_finished) * share
        return min(done / self.count, 1.0)

    @property
    def note(self) -> str:
        """The number of outputs of the batch that have ended, in words."""
        if self.selection is not None:
            met, wanted = self.selection.num_met, self.selection.num_wanted
            return f"{min(met, wanted):,} of {wanted:,} found among {self.selection.num_generated:,}"
        ended = self.draft.is_finished if self.draft is not None else ()
        return f"{sum(ended)} of {len(ended)} ended" if any(ended) else ""


def generate(
    model: "Model",
    prompt: str | Sequence[str] = "",
    *,
    n: int = 1,
    seed: int | None = None,
    given: Rows | None = None,
    stop: str | Sequence[str] = (),
    schema: Mapping[str, Any] | bool | None = None,
    regex: str = "",
    choices: Sequence[str] = (),
    grammar: str = "",
    preset: str | Sequence[str] = (),
    interpolate: int = 0,
    adapters: Sequence[str] = (),
    precision: str = "auto",
    is_chat: bool | None = None,
    continue_from: Output | str = "",
    is_marked: bool = True,
    refuse_copies: bool = False,
    on: str = "",
    progress: bool | None = None,
    **params: Any,
) -> Outputs:
    """Generate outputs; every output is stored, traceable and replayable.

    Parameters
    ----------
    prompt
        Start of a text, or description of an image. A sequence gives several prompts.
    n
        Number of outputs for each prompt.
    seed
        Random seed; the same seed gives the same outputs in this workspace. None: a new one each time.
    given
        Values of the model's other conditions by name, e.g. {"logp": 2.5, "loads": array}; a str is parsed as the
        command line parses it. A sequence of mappings gives outputs for each.
    stop
        Strings that end a text and are not part of it.
    schema, regex, choices, grammar
        One format that a text keeps to: a JSON schema, a regular expression, a list of texts to choose from, or a Lark
        grammar. The text ends where the format does; one that a limit cut has "is_incomplete" in its record.
    preset
        Names of presets (see `Workspace.presets`).
    interpolate
        Number of outputs of an interpolation between two prompts, or between two outputs of one prompt.
    adapters
        Models tuned on the same base with method "lora", whose adapters are added.
    precision
        float32, bfloat16, int8, int4 or auto.
    is_chat
        Whether prompts are questions, written in the model's chat template, with the sampling of a chat. None: yes
        for a model that was tuned on conversations.
    continue_from
        Output to continue, under its conditions; "last" is the newest. Outputs begin with it.
    is_marked
        Whether the outputs are marked by the workspace's key, so that they can be recognised. Without a mark, a seed
        gives the same outputs in every workspace.
    refuse_copies
        Whether outputs that share more with the training data than chance explains (see `Output.copies`) are withheld:
        they are neither stored nor returned; `num_withheld` of the result counts them. Raises api.copies_without_data
        if the data are not in the workspace.
    on
        Cluster whose machines generate, some batches each: ray, or ray://HOST:10001. "": this machine. All of them need
        the workspace under the same path.
    progress
        Whether a bar is shown on standard error. None: in notebooks only.
    params
        Parameters of the sampler, e.g. max_tokens, temperature, top_p, or steps, guidance_scale, negative_prompt;
        and options of the medium's editing, e.g. image, mask, strength.

    Returns
    -------
    Outputs
        A list of outputs, prompt by prompt.

    Raises
    ------
    GenloomError
        generate.unknown_param: the sampler has no such parameter; conditioners.unknown: the model has no such
        condition; api.stop_without_text, api.empty_stop, api.interpolate_prompts; api.continue_unsupported,
        api.continue_answer: the output cannot be continued; generate.unsupported_schema, generate.bad_format,
        generate.format_needs_tokens: the format cannot be kept to, or not within max_tokens; cluster.not_installed,
        cluster.no_answer, cluster.workspace_not_shared, api.selection_on_cluster: of `on`.
    """
    events, outputs = iter_generate(**drop_progress(locals(), "params")), Outputs()
    with model.workspace.open_bar("Generating", progress) as bar:
        for event in events:
            match event:
                case GenerationProgress():
                    bar.update(event.compute_share(len(outputs)), event.note)
                    outputs.num_withheld, outputs.selection = event.num_withheld, event.selection
                case Output():
                    outputs.append(event)
    return outputs


def iter_generate(
    model: "Model",
    prompt: str | Sequence[str] = "",
    *,
    n: int = 1,
    seed: int | None = None,
    given: Rows | None = None,
    stop: str | Sequence[str] = (),
    schema: Mapping[str, Any] | bool | None = None,
    regex: str = "",
    choices: Sequence[str] = (),
    grammar: str = "",
    preset: str | Sequence[str] = (),
    interpolate: int = 0,
    adapters: Sequence[str] = (),
    precision: str = "auto",
    is_chat: bool | None = None,
    continue_from: Output | str = "",
    is_marked: bool = True,
    refuse_copies: bool = False,
    on: str = "",
    **params: Any,
) -> Generator[GenerationProgress | Output]:
    """Yield the steps of a generation, and each output once it is stored; takes the arguments of `generate`."""
    from genloom.generate.output_format import add_format, build_output_format
    from genloom.generate.presets import check_presets
    from genloom.generate.text.conversation import choose_chat

    prompts = to_list(prompt)
    if not prompts:
        raise GenloomError("api.no_prompts")
    output_format = build_output_format(schema, regex, choices, grammar)
    presets = model.workspace.get_presets(to_list(preset))
    prompts, params = apply_presets(presets, prompts, params)
    loaded = model.load(adapters, precision)
    check_presets(presets, loaded)
    is_chat = choose_chat(model.workspace.store, [loaded], False if continue_from else is_chat)
    request = build_request(loaded, prompts, n, seed, to_list(stop), given or {}, interpolate, params, is_chat)
    if continue_from:
        request = continue_request(loaded, request, model.workspace.output(continue_from))
    if output_format is not None:
        request = add_format(request, loaded, output_format)
    if not on:
        yield from iter_outputs(model.workspace, loaded, request, is_chat, is_marked, refuse_copies)
        return
    from genloom.api.cluster_work import open_generator

    with open_generator(on, model.workspace, loaded, adapters, is_chat, is_marked) as generate_batches:
        yield from iter_outputs(model.workspace, loaded, request, is_chat, is_marked, refuse_copies, generate_batches)


def list_options(model: "Model") -> "list[OptionInfo]":
    """List the parameters of the sampler that `generate` takes: name, type, default, allowed values and meaning."""
    from genloom.generate import engine, sampling_params

    loaded = model.load()
    defaults = sampling_params.add_suggested_params(loaded, {})
    if engine.is_open_sequence(loaded.codec.space) and engine.is_left_to_right(loaded):
        defaults["max_tokens"] = engine.get_default_max_tokens(loaded)
    return [replace(o, default=defaults.get(o.name, o.default)) for o in sampling_params.list_request_options(loaded)]


def iter_outputs(
    workspace: "Workspace",
    model: "LoadedModel",
    request: "Request",
    is_chat: bool = False,
    is_marked: bool = True,
    refuse_copies: bool = False,
    generate_batches: "GenerateBatches | None" = None,
) -> Generator[GenerationProgress | Output]:
    """Generate the request batch by batch: yield the steps of each batch, then its stored outputs.

    With `is_chat`, each prompt is a question, written in the model's chat template. With `refuse_copies`, outputs that
    copy training data are not stored; a last step of the batch counts them, and no step has values. `generate_batches`
    works elsewhere.
    """
    events = _iter_events(workspace, model, request, is_chat, is_marked, refuse_copies, generate_batches)
    return hide_drafts(events) if refuse_copies else events


def hide_drafts(
    events: Generator[GenerationProgress | Output],
) -> Generator[GenerationProgress | Output]:
    """Yield the events without the values that form in a step, which may turn out as copies of training data."""
    for event in events:
        if isinstance(event, GenerationProgress) and event.draft is not None:
            event = replace(event, draft=replace(event.draft, values=(), continuations=(), token_ids=()))
        yield event


def _iter_events(
    workspace: "Workspace",
    model: "LoadedModel",
    request: "Request",
    is_chat: bool,
    is_marked: bool,
    refuse_copies: bool,
    generate_batches: "GenerateBatches | None",
) -> Generator[GenerationProgress | Output]:
    from genloom.api.copies import find_copied_rows, find_searchable_data
    from genloom.api.policy import apply_policy, list_prompt_texts
    from genloom.api.selecting import iter_selected
    from genloom.generate import engine, output_records
    from genloom.generate.selection import build_selection

    apply_policy(workspace, list_prompt_texts(model, request), model.ref)
    is_streamed = len(request.prompts) == 1 and engine.can_stream_text(model) and not refuse_copies
    is_streamed &= generate_batches is None
    training_data, num_withheld = (
        find_searchable_data(workspace, model.ref, model.adapters) if refuse_copies else None,
        0,
    )
    if (selection := build_selection(model, request)) is not None:
        if generate_batches is not None:
            raise GenloomError("api.selection_on_cluster", model=model.ref)
        yield from iter_selected(workspace, selection, is_marked, training_data)
        return
    batches = engine.split_batches(request, engine.fit_batch_size(model))
    for batch in batches if generate_batches is None else generate_batches(batches):
        progress = GenerationProgress(0, 1, len(request.prompts), None, is_streamed, num_withheld)
        if isinstance(batch, engine.Request):
            batch, draft, row_metadata = yield from iter_batch(workspace, model, batch, progress, is_chat, is_marked)
        else:
            batch, draft, row_metadata = batch
            yield replace(progress, step=1, draft=draft)
        withheld = find_copied_rows(training_data, draft.continuations) if training_data is not None else ()
        if withheld:
            num_withheld += len(withheld)
            total = engine.count_drafts(model, batch)
            yield GenerationProgress(total, total, len(request.prompts), draft, is_streamed, num_withheld)
        for output_id in output_records.store_outputs(
            workspace.store, model, batch, draft, row_metadata=row_metadata, withheld_rows=withheld
        ):
            yield workspace.output(output_id)


def iter_batch(
    workspace: "Workspace",
    model: "LoadedModel",
    batch: "Request",
    progress: GenerationProgress,
    is_chat: bool = False,
    is_marked: bool = True,
) -> "Generator[GenerationProgress, None, tuple[Request, Draft, list[dict[str, Any]]]]":
    """Generate a batch: yield its steps, and return its request as it ran, its last draft, and notes on each row."""
    from genloom.api.policy import apply_policy, list_output_texts, list_output_values
    from genloom.generate import engine
    from genloom.generate.marking import mark_request
    from genloom.generate.prompt_notes import describe_prompts
    from genloom.generate.text.conversation import as_questions, describe_question

    row_metadata = describe_prompts(model, batch)
    if is_chat:
        batch, contexts = as_questions(model, batch)
        row_metadata = [describe_question(*row) for row in zip(batch.prompts, contexts, strict=True)]
    if is_marked:
        batch = mark_request(workspace.store, model, batch)
    total, draft = engine.count_drafts(model, batch), None
    for step, draft in enumerate(engine.generate(model, batch), start=1):
        yield replace(progress, step=min(step, total), total=total, draft=draft)
    assert draft is not None, "a request yields at least one draft"
    values = list_output_values(workspace, model, draft)
    apply_policy(workspace, list_output_texts(model, draft), model.ref, "output", values)
    return batch, draft, row_metadata
