"""The model that a command of the assistant uses: the one that is named, or the newest that can chat."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from genloom.errors import GenloomError
from genloom.store.files import read_beginning
from genloom.store.model_folder import ModelFolder

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace

PRETRAINED = "smollm2"  # the name in the catalog that a person without a chat model is told to import
_MAX_CODEC_BYTES = 1 << 16


def choose_chat_model(workspace: "Workspace", name: str | None = None) -> "Model":
    """Return the model of this name; without a name, the newest active model that can chat.

    Raises
    ------
    GenloomError
        store.unknown_name and its like: no model has this name; generate.cannot_chat and its like: the model was not
        trained on conversations; assistant.no_chat_model: no model in the workspace can chat.
    """
    from genloom.generate.text.conversation import get_chat_codec

    if name:
        model = workspace.model(name)
        get_chat_codec(model.load())
        return model
    if (folder := find_newest_chat_model(workspace.store.list_active_models())) is None:
        raise GenloomError("assistant.no_chat_model", model=PRETRAINED)
    return workspace.model(folder.ref)


def find_newest_chat_model(folders: Iterable[ModelFolder]) -> ModelFolder | None:
    """Return the model that was created last among those that can chat, by their cards; None without one.

    A model with weights of its own goes before an adapter, which was tuned for one purpose.
    """
    chat_models = [folder for folder in folders if is_chat_model(folder)]
    return max(chat_models, key=lambda folder: (not folder.is_adapter, folder.created), default=None)


def is_chat_model(folder: ModelFolder) -> bool:
    """Return whether a model can chat, by its card and its codec; the weights are not loaded.

    The codecs that are trained here have a chat template built in, an imported tokenizer in the file chat.json.
    """
    if not folder.has_learned_roles:
        return False
    if (folder.folder / "codec" / "chat.json").is_file():
        return True
    try:
        table = json.loads(read_beginning(folder.folder / "codec" / "codec.json", _MAX_CODEC_BYTES))
    except (OSError, ValueError):
        return False
    return isinstance(table, dict) and table.get("codec") in ("bytes", "bpe")
