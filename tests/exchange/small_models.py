"""Small models with random weights in a workspace, and others that were tuned from them."""

from typing import Any

import torch

from genloom.codecs import bytes as plain
from genloom.model import (
    Design,
    Model,
    build_networks,
    build_objective,
    load_model,
    resolve_space,
    save_adapter,
    save_model,
)
from genloom.networks import lora
from genloom.store.workspace import Workspace

SETTINGS = {"width": 16, "depth": 1, "heads": 2, "qk_norm": False}


def create_own(workspace: Workspace, name: str = "own", has_learned_roles: bool = True, **changes: Any) -> None:
    """Create a small model of bytes with random weights."""
    design = Design("bytes", "autoregressive", "transformer", 48, network_settings={**SETTINGS, **changes})
    codec = plain.Codec.fit([], plain.Config())
    objective = build_objective(design, resolve_space(design, codec))
    torch.manual_seed(0)
    parts = build_networks(design, objective)
    with torch.no_grad():
        for weight in parts.parameters():
            weight += 0.1 * torch.randn_like(weight)
    with workspace.create_model(name) as folder:
        facts = {"has_learned_roles": has_learned_roles}
        save_model(Model(name, codec, objective, parts, design), folder, design.to_tables(), facts)


def tune(workspace: Workspace, base_ref: str, name: str, has_adapter: bool = True) -> str:
    """Save a model tuned from the base, on a data set with a licence of its own."""
    model = load_model(workspace, base_ref)
    assert model.folder is not None
    base, card = model.folder, {"data": {"name": "support", "digest": "", "licences": {"my own": 3}}, "parameters": 1}
    if has_adapter:
        lora.attach_adapter(model.parts["model"], lora.Config(rank=2), "tuned")
        with torch.no_grad():
            for weight in model.parts.parameters():
                weight += 0.3 * torch.randn_like(weight)
    with workspace.create_model(name) as folder:
        if has_adapter:
            save_adapter(model, "tuned", base, folder, model.design.to_tables(), card)
        else:
            parents = [{"ref": base.ref, "digest": base.digest}]
            save_model(model, folder, model.design.to_tables(), {**card, "parents": parents})
    return f"{name}/1"
