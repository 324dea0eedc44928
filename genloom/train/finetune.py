"""Fine-tuning of a stored model on other data, by an adapter or by all weights."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from genloom import plugins
from genloom.errors import GenloomError, format_message, format_suggestion
from genloom.model import Model, check_design
from genloom.model.likelihood import HeldOut, measure_held_out, reads_stream, to_metric_key
from genloom.settings import apply_overrides
from genloom.store.dataset import Dataset
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.train.data import samples
from genloom.train.data.documents import PackedDocuments, encode_documents, has_conversations
from genloom.train.data.fill import NO_FILL, FillConfig
from genloom.train.data.packing import can_pack
from genloom.train.data.rehearsal import prepare_passages
from genloom.train.data.sequences import load_held_out_sequences, prepare_sequences
from genloom.train.data.source import FinetuningSource, SampleSet, check_fill, get_plural_name, prepare_samples
from genloom.train.events import Event, RunWarning, Status
from genloom.train.forgetting import limit_strength
from genloom.train.job import Job
from genloom.train.planning.auto_config import Budget
from genloom.train.post_training import PostTraining, build_learner, load_base
from genloom.train.pretraining import describe_captions, describe_dataset
from genloom.types import Batch, is_open_sequence

METHODS = ("lora", "full")
REHEARSAL, FORGETTING = 0.25, 0.2  # by default, of a model that is tuned on conversations
ALLOWED_OVERRIDES = {  # the other settings are the base model's
    "lora": (
        *("batch_size", "pack_length", "cond_dropout", "rehearsal", "forgetting", "fim_rate", "fim_spm", "plan"),
        *("parallel", "adapter"),
    ),
    "full": (
        *("batch_size", "pack_length", "cond_dropout", "rehearsal", "forgetting", "fim_rate", "fim_spm", "plan"),
        *("parallel", "objective"),
        "network.dropout",
    ),
}


@dataclass(frozen=True)
class Finetuning(PostTraining):
    """The training of a stored model on a data set, by an adapter or by all weights."""

    dataset: Dataset

    full_lr = 5e-5

    def check_request(self, model: Model, budget: Budget, overrides: Mapping[str, str]) -> None:
        """Raise ValueError for an unknown method, missing data, or options that fine-tuning does not support."""
        check_budget(self.method, budget, overrides)
        if not self.dataset.count_bytes("train"):
            values = get_plural_name(self.dataset.medium)
            raise GenloomError("train.no_data", data=self.dataset.name, values=values)
        if self.dataset.medium != model.design.medium:
            raise GenloomError(
                "train.other_medium",
                base=self.workspace.get_model(self.base).ref,
                base_values=get_plural_name(model.design.medium),
                data=self.dataset.name,
                data_values=get_plural_name(self.dataset.medium),
            )

    def build_default_job(
        self, model: Model, base: ModelFolder, name: str, seed: int, overrides: Mapping[str, str]
    ) -> Job:
        """Return the job before any measurement; a batch size of 0 is chosen later."""
        data = name, self.dataset.name, self.dataset.digest
        tables = self.build_default_tables(model.design, base, data, seed, has_adapter=self.method == "lora")
        if objective := overrides.get("objective.name"):  # with its own settings, around the same networks
            tables["objective"] = {}
            tables["plan"] |= plugins.get_hook("objective", objective, "TRAIN_DEFAULTS") or {}
        tables["batch_size"] = 0  # chosen later, unless it is set
        if reads_stream(model) and has_conversations(self.dataset):
            tables |= {"rehearsal": REHEARSAL, "forgetting": FORGETTING}
        tables = apply_overrides(tables, overrides)
        if tables["plan"].get("private", {}).get("epsilon"):
            tables["rehearsal"] = 0.0  # its rows are of no document
        batch_size = tables["batch_size"]
        job = Job.from_tables({**tables, "batch_size": batch_size or 1})
        check_design(job.design)
        if job.pack_length > job.design.context_length:
            sizes = {"pack_length": job.pack_length, "context_length": job.design.context_length}
            raise GenloomError("train.long_pack", base=base.ref, **sizes)
        return job if batch_size else replace(job, batch_size=0)

    def prepare_source(self, folder: Path, model: Model, job: Job) -> Generator[Event, None, FinetuningSource]:
        """Return the data set, encoding it if necessary; yield the progress."""
        yield Status(f"Encoding the {get_plural_name(self.dataset.medium)}")
        source = yield from prepare_finetuning_source(folder, self.dataset, model, job.fill)
        if job.rehearsal and isinstance(source, PackedDocuments) and can_pack(model):
            yield Status(f"Generating passages with {job.base['ref']} to rehearse")
            passages = prepare_passages(folder / "rehearsal", model)
            return replace(source, passages=passages if passages.has_predictions else None)
        return source

    def evaluate(self, model: Model, job: Job) -> dict[str, float]:
        """Evaluate the model on general data, which fine-tuning may make it forget; empty without such data.

        For a stream of text, these are built-in passages; else, the held-out items of the base model's own data.
        """
        if reads_stream(model):
            text = read_general_text()
            held_out: HeldOut = [text[: round(len(text) * job.eval_share)]]
        else:
            held_out = load_base_held_out(self.workspace, model, job)
        if not len(held_out):
            return {}
        held_out_metric = measure_held_out(model, held_out)
        return {f"general_{to_metric_key(held_out_metric.name)}": held_out_metric.value}

    def finish(self, model: Model, job: Job) -> Generator[Event, None, dict[str, float]]:
        """Move the model towards its base as far as the bound on forgetting demands, and return its strength."""
        base_loss = job.estimate.get("general_before")
        if job.forgetting == inf or base_loss is None:
            return {}
        base = dict(build_learner(load_base(self.workspace, job), job).parts.named_parameters())
        if job.adapter:
            base = {name: tensor for name, tensor in base.items() if not name.endswith(".A")}  # B A is zero at first
        limit = base_loss * (1 + job.forgetting)
        strength = limit_strength(model, base, lambda: next(iter(self.evaluate(model, job).values())), limit)
        if strength == 1:
            return {}
        bounds = {"bound": job.forgetting, "strength": strength, "higher_bound": 2 * job.forgetting}
        yield RunWarning(format_message("train.strength_reduced", **bounds))
        return {"strength": strength}

    def describe_data(self, job: Job) -> dict[str, Any]:
        is_chat = has_conversations(self.dataset)
        has_learned_roles = is_chat or self.workspace.get_model(job.base["ref"]).has_learned_roles
        captions = describe_captions(self.dataset, job, [self.workspace.get_model(job.base["ref"])])
        record = {**describe_dataset(self.dataset), **captions}
        return {**record, "chat": is_chat, "has_learned_roles": has_learned_roles}


def check_budget(method: str, budget: Budget, overrides: Mapping[str, str]) -> None:
    """Raise ValueError for options that fine-tuning does not support."""
    if method not in METHODS:
        raise GenloomError("train.unknown_method", value=method, hint=format_suggestion(method, METHODS))
    if sum(bool(w) for w in (budget.minutes, budget.tokens, budget.steps)) > 1:
        raise GenloomError("train.several_lengths")
    if budget.params:
        raise GenloomError("train.params_of_base")
    for path in overrides:
        if path.split(".")[0] == "adapter" and method == "full":
            raise GenloomError("train.adapter_setting", path=path)
        if not {path, path.split(".")[0]} & {*ALLOWED_OVERRIDES[method]}:
            allowed_names = ", ".join(ALLOWED_OVERRIDES[method])
            raise GenloomError("train.setting_of_base", path=path, allowed=allowed_names)


def load_base_held_out(workspace: Workspace, model: Model, job: Job) -> Batch | tuple[()]:
    """Load held-out items of the base model's training data; () if the workspace does not have them."""
    data_record = workspace.get_model(job.base["ref"]).card.get("data") or {}
    try:
        dataset = workspace.get_dataset(data_record.get("name", ""), data_record.get("digest", ""))
    except ValueError:
        return ()
    return load_held_out_batch(dataset, model, max(round(SampleSet.eval_size * job.eval_share), 1))


def prepare_finetuning_source(
    folder: Path, dataset: Dataset, model: Model, fill: FillConfig = NO_FILL
) -> Generator[Event, None, FinetuningSource]:
    """Return the data source for the model, encoding it if necessary; yield the progress."""
    check_fill(model.design, model.codec, fill)
    if not is_open_sequence(model.codec.space):
        return (yield from prepare_samples(folder, dataset, model.codec, model.design))
    if not reads_stream(model):
        return prepare_sequences(folder, dataset, model.codec, model.conditioners, model.design.context_length)
    return PackedDocuments(model.codec, encode_documents(folder, dataset, model, fill), dataset)


def load_held_out_batch(dataset: Dataset, model: Model, limit: int) -> Batch | tuple[()]:
    """Load up to `limit` representative held-out items of a model that reads no stream; () if there are none."""
    codec, conditioners = model.codec, model.conditioners
    if not is_open_sequence(codec.space):
        return samples.load_held_out_samples(dataset, codec, conditioners, limit)
    return load_held_out_sequences(dataset, codec, conditioners, model.design.context_length, limit)


def read_general_text() -> str:
    """Return short passages of many kinds, written for Genloom, to measure what a model has forgotten."""
    return Path(__file__).with_name("general.txt").read_text(encoding="utf-8")
