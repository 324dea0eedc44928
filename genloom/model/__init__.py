"""Models: codec, objective and networks, built from a job's design, loaded from the store and saved to it."""

from genloom.model.design import (
    Design,
    Model,
    build_conditioners,
    build_meta_networks,
    build_networks,
    build_objective,
    check_design,
    count_network_parameters,
    fit_conditions,
    get_int_setting,
    resolve_space,
    with_defaults,
)
from genloom.model.load import (
    find_best_device,
    is_chain_full,
    load_for_scoring,
    load_model,
    merge_adapters,
    read_base,
    read_codec,
    with_precision,
)
from genloom.model.machine import describe_machine
from genloom.model.save import save_adapter, save_compact, save_model

__all__ = [
    "Design",
    "Model",
    "build_conditioners",
    "build_meta_networks",
    "build_networks",
    "build_objective",
    "check_design",
    "count_network_parameters",
    "describe_machine",
    "find_best_device",
    "fit_conditions",
    "get_int_setting",
    "is_chain_full",
    "load_for_scoring",
    "load_model",
    "merge_adapters",
    "read_base",
    "read_codec",
    "resolve_space",
    "save_adapter",
    "save_compact",
    "save_model",
    "with_defaults",
    "with_precision",
]
