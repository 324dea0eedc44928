"""A model put together: codec, objective and networks, designed in a job, opened from the store and saved to it."""

from genloom.model.design import Design, Model, check, complete, objective_of, parts_of, prompts_of, space_of, whole
from genloom.model.machine import machine
from genloom.model.opening import at_precision, base_of, best_device, merged_model, open_model, open_to_read, stacked_up
from genloom.model.writing import write_adapter, write_model, write_small

__all__ = [
    "Design",
    "Model",
    "at_precision",
    "base_of",
    "best_device",
    "check",
    "complete",
    "machine",
    "merged_model",
    "objective_of",
    "open_model",
    "open_to_read",
    "parts_of",
    "prompts_of",
    "space_of",
    "stacked_up",
    "whole",
    "write_adapter",
    "write_model",
    "write_small",
]
