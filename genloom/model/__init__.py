"""A model put together: codec, objective and networks, designed in a job, opened from the store and saved to it."""

from genloom.model.design import (
    Design,
    Model,
    build_networks,
    build_objective,
    build_text_encoder,
    check_design,
    int_setting,
    resolve_space,
    with_defaults,
)
from genloom.model.load import (
    best_device,
    is_chain_full,
    load_for_scoring,
    load_model,
    merge_adapters,
    read_base,
    with_precision,
)
from genloom.model.machine import describe_machine
from genloom.model.save import save_adapter, save_compact, save_model

__all__ = [
    "Design",
    "Model",
    "best_device",
    "build_networks",
    "build_objective",
    "build_text_encoder",
    "check_design",
    "describe_machine",
    "int_setting",
    "is_chain_full",
    "load_for_scoring",
    "load_model",
    "merge_adapters",
    "read_base",
    "resolve_space",
    "save_adapter",
    "save_compact",
    "save_model",
    "with_defaults",
    "with_precision",
]
