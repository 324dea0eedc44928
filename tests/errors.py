"""How tests expect an error: by its code and fields, never by its words."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from genloom.errors import GenloomError


@contextmanager
def raises_code(code: str, **fields: Any) -> Generator[pytest.ExceptionInfo[GenloomError]]:
    """Expect a GenloomError with this code from the block, and these values in the fields that are named."""
    with pytest.raises(GenloomError) as caught:
        yield caught
    assert caught.value.code == code, f"expected {code}, got {caught.value.code}: {caught.value}"
    assert {name: caught.value.fields.get(name) for name in fields} == fields


@contextmanager
def raises_reason(code: str, reason: str, **fields: Any) -> Generator[pytest.ExceptionInfo[GenloomError]]:
    """Expect a GenloomError with this code whose field `reason` is a GenloomError with the code `reason`."""
    with raises_code(code, **fields) as caught:
        yield caught
    assert caught.value.fields["reason"].code == reason
