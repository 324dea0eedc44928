"""How tests expect an error: by its code and fields, never by its words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from genloom.errors import GenloomError


@contextmanager
def raises_code(code: str, **fields: Any) -> Iterator[pytest.ExceptionInfo[GenloomError]]:
    """The block raises a GenloomError with this code; of its fields, those named have these values."""
    with pytest.raises(GenloomError) as caught:
        yield caught
    assert caught.value.code == code, f"expected {code}, got {caught.value.code}: {caught.value}"
    assert {name: caught.value.fields.get(name) for name in fields} == fields
