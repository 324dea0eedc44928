"""Training of models on data sets of a workspace, and the import of pretrained ones."""

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api import progress as progress_bars
from genloom.api.arguments import drop_progress, to_overrides
from genloom.api.consent import check_training_consent
from genloom.errors import GenloomError
from genloom.running_time import read_running_seconds
from genloom.store.files import expand_home

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.exchange.importer import ImportResult
    from genloom.train.events import Event
    from genloom.train.request import TrainRequest

DEFAULT_EPSILON, DEFAULT_DELTA = 8.0, 1e-5  # of private tuning


def train(
    workspace: "Workspace",
    data: str,
    *,
    minutes: float = 0.0,
    params: int = 0,
    tokens: int = 0,
    steps: int = 0,
    name: str = "",
    from_: "Model | str" = "",
    method: str = "",
    resume: bool = False,
    recipe: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    threads: int = 0,
    devices: int = 0,
    on: str = "",
    workers: int = 0,
    devices_per_worker: int = 0,
    save_steps: int = 0,
    canaries: int = 0,
    private: bool = False,
    epsilon: float | None = None,
    delta: float | None = None,
    progress: bool | None = None,
) -> "Model":
    """Train a model on a data set, or fine-tune an existing one, within a time budget.

    Parameters
    ----------
    data
        Data set; with `resume`, the name or id of a run.
    minutes
        Time budget. 0: 5, if neither `tokens` nor `steps` are given.
    params
        Approximate number of parameters. 0: what the time and the data allow.
    tokens
        Number of tokens to train on; of media without tokens, samples.
    steps
        Exact number of steps; with `resume`, the step to train up to.
    name
        Name of the model. "": that of the data set.
    from_
        Model to fine-tune, on text or on conversations.
    method
        Fine-tuning method: lora (a small adapter) or full (all weights). "": lora.
    resume
        Whether a run that was stopped or killed is continued, or a finished one trained further with `steps`.
    recipe
        TOML file of job settings; `overrides` override it.
    overrides
        Job settings by their path, e.g. {"network.base.width": 384}.
    seed
        Random seed.
    threads
        Number of processor threads. 0: all cores, or fewer by the quota of the container.
    devices
        Number of GPUs, or of processes on a machine without, that train together; the rows of a step are divided among
        them. 0: as in the job, which has one unless it says more.
    on
        Cluster that trains: ray, or ray://HOST:10001. "": this machine. All machines need the workspace under the same
        path. A process or machine that is lost costs the steps since the last checkpoint.
    workers
        Number of machines of the cluster. 0: 1.
    devices_per_worker
        Number of processes on each, with a GPU each where there are any. 0: 1.
    save_steps
        Number of steps between additional checkpoints. 0: only one every 30 seconds.
    canaries
        Number of random secrets that are put into the data, for `Model.privacy`. They make the data set NAME-canaries,
        whose name is the model's too. 0: none.
    private
        Whether the tuning of a model is differentially private: what it learns of any one document is bounded.
    epsilon
        Bound on that, of private tuning; smaller is more private. None: 8.
    delta
        Probability that the bound does not hold, of private tuning; below 1 / number of documents. None: 0.00001.
    progress
        Whether a bar and the estimate are shown on standard error. None: in notebooks only.

    Returns
    -------
    Model
        The new version.

    Raises
    ------
    GenloomError
        store.unknown_name, store.unknown_name_near: there is no such data set; api.method_without_model,
        api.resume_with_plan, api.resume_with_name: arguments that contradict each other; train.run_finished;
        trust.consent_refused: persons are in the data, and their consent is missing or has ended;
        cluster.not_installed, cluster.no_answer, train.cluster_too_small: of `on`.
    """
    events = iter_train(**drop_progress(locals()))
    from genloom.train.events import RunResult

    result = progress_bars.run_events(events, "Training", workspace.is_shown(progress))
    assert isinstance(result, RunResult), "a run ends with its result"
    return workspace.model(result.ref)


def iter_train(
    workspace: "Workspace",
    data: str,
    *,
    minutes: float = 0.0,
    params: int = 0,
    tokens: int = 0,
    steps: int = 0,
    name: str = "",
    from_: "Model | str" = "",
    method: str = "",
    resume: bool = False,
    recipe: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    threads: int = 0,
    devices: int = 0,
    on: str = "",
    workers: int = 0,
    devices_per_worker: int = 0,
    save_steps: int = 0,
    canaries: int = 0,
    private: bool = False,
    epsilon: float | None = None,
    delta: float | None = None,
    num_samples: int = 0,
) -> "Generator[Event]":
    """Yield the events of a training, last a RunResult; takes the arguments of `train`.

    Closing the iterator saves a checkpoint and stops, so that `resume` continues to the same result. A new language
    model writes `num_samples` texts on the way (`TextSample`).
    """
    started_at = read_running_seconds()  # the imports are part of the minutes
    from genloom.settings import read_recipe
    from genloom.train.planning.auto_config import Budget
    from genloom.train.run import TrainRequest, train_model
    from genloom.train.saved_steps import report_saved_steps

    if method and not (from_ or resume):
        raise GenloomError("api.method_without_model")
    if resume and (minutes or tokens or params or recipe or overrides or from_ or method or canaries or private):
        raise GenloomError("api.resume_with_plan")
    if on and devices:
        raise GenloomError("api.devices_with_cluster", count=devices)
    if (workers or devices_per_worker) and not on:
        raise GenloomError("api.workers_without_cluster")
    if resume and name:
        run = name if any(each.name == name for each in workspace.runs) else data  # the run that is meant
        raise GenloomError("api.resume_with_name", run=f'"{run}"' if " " in run else run)
    base = workspace.model(from_).ref if from_ else ""
    check_training_consent(workspace, data, base, is_run=resume)
    if canaries:
        from genloom.trust.canaries import add_canaries

        data = add_canaries(workspace.store, workspace.store.get_dataset(data), canaries, seed).name
    settings = read_recipe(expand_home(recipe)) if recipe else {}
    private_settings = _build_private_settings(private, epsilon, delta)
    request = TrainRequest(
        data,
        name,
        base,
        method or "lora",
        Budget(minutes=minutes, params=params, tokens=tokens, seed=seed, started_at=started_at),
        {**settings, **private_settings, **to_overrides(overrides)},
        resume,
        steps,
        threads,
        devices,
        save_steps=save_steps,
        num_samples=num_samples,
    )
    if on:
        num_ranks = (workers or 1) * (devices_per_worker or 1)
        return report_saved_steps(workspace.store, _train_on(workspace, request, on, num_ranks))
    return report_saved_steps(workspace.store, train_model(workspace.store, request))


def _train_on(workspace: "Workspace", request: "TrainRequest", address: str, num_ranks: int) -> "Generator[Event]":
    """Yield the events of a training with so many processes on a cluster."""
    from genloom.api.cluster_work import check_shared_workspace
    from genloom.cluster import open_cluster
    from genloom.store.mirror import is_address
    from genloom.train.cluster import train_on_cluster

    if is_address(workspace.address):
        raise GenloomError("train.cluster_bucket", address=workspace.address)
    with open_cluster(address) as cluster:
        check_shared_workspace(cluster, workspace)
        yield from train_on_cluster(workspace.store, request, cluster, num_ranks)


def _build_private_settings(private: bool, epsilon: float | None, delta: float | None) -> dict[str, str]:
    """Return the settings of private tuning. Raise GenloomError for a bound without it, which nothing would keep."""
    given = {name: value for name, value in (("epsilon", epsilon), ("delta", delta)) if value is not None}
    if given and not private:
        raise GenloomError("api.bound_without_private", options=" and ".join(f"--{name}" for name in given))
    bounds = {"epsilon": DEFAULT_EPSILON, "delta": DEFAULT_DELTA, **given}
    return {f"plan.private.{name}": str(value) for name, value in bounds.items()} if private else {}


def import_model(
    workspace: "Workspace",
    source: str | Path,
    *,
    name: str = "",
    base: str = "",
    progress: "bool | Callable[[float, str], None] | None" = None,
) -> "Model":
    """Import a pretrained model or an adapter.

    Parameters
    ----------
    source
        Name (smollm2, qwen, kokoro, whisper, whisper-tiny); folder of a Llama, Mistral, Qwen2, Qwen3 or GPT-2 model or
        of an adapter; or .gguf file.
    name
        Name of the model in the workspace. "": that of the source.
    base
        Model of the workspace that an adapter belongs to. "": the one that the adapter names.
    progress
        Whether a bar is shown on standard error (None: in notebooks only), or a function of the share done and the
        next step.

    Returns
    -------
    Model
        The imported model; its card has the parity with the source.

    Raises
    ------
    GenloomError
        exchange.no_such_pretrained_model, exchange.download_failed, and others for a source that cannot be read.
    """
    return workspace.model(import_with_report(workspace, source, name=name, base=base, progress=progress).folder.ref)


def import_with_report(
    workspace: "Workspace",
    source: str | Path,
    *,
    name: str = "",
    base: str = "",
    progress: "bool | Callable[[float, str], None] | None" = None,
) -> "ImportResult":
    """Import a pretrained model as `import_model` does; return the parity with its source and further notes."""
    from genloom.exchange.importer import import_model

    with workspace.open_callback("Importing", progress) as report_progress:
        return import_model(workspace.store, str(source), name or None, report_progress, base)
