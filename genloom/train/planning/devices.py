"""Devices that a run may be planned for: their memory, speed and price, from a table that the user edits."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from genloom.errors import GenloomError, format_suggestion
from genloom.settings import MAX_RECIPE_BYTES, option, parse_settings

PRICES_FILE = "prices.toml"
_PACKAGE_PRICES = Path(__file__).with_name(PRICES_FILE)
_DEVICES = re.compile(r"(?:(?P<count>[0-9]{1,6})x)?(?P<name>[\w.-]+)")


@dataclass(frozen=True)
class DeviceKind:
    """A kind of device, as `prices.toml` describes it."""

    memory_gb: float = option(0.0, "Memory in gigabytes.", minimum=0.001)
    tflops: float = option(0.0, "Dense products in bfloat16, in 10^12 operations a second.", minimum=1e-6)
    utilization: float = option(0.4, "Share of them that training reaches.", minimum=0.001, maximum=1)
    link_gb_per_second: float = option(1.0, "To the other devices of a node, each way.", minimum=1e-6)
    network_gb_per_second: float = option(1.0, "To other nodes, each way, for every device.", minimum=1e-6)
    devices_per_node: int = option(8, "Devices of a node.", minimum=1)
    price_per_hour: float = option(0.0, "Dollars for an hour; 0: not known.", minimum=0)
    name: str = ""  # its key in the file


@dataclass(frozen=True)
class Devices:
    """Devices of one kind."""

    count: int
    kind: DeviceKind

    @property
    def bytes_per_second(self) -> float:
        """The speed of a device while all exchange gradients or weights: the slowest link decides."""
        is_one_node = self.count <= self.kind.devices_per_node
        return 1e9 * (self.kind.link_gb_per_second if is_one_node else self.kind.network_gb_per_second)

    def __str__(self) -> str:
        return f"{self.count} × {self.kind.name}"


def parse_devices(text: str, kinds: dict[str, DeviceKind]) -> Devices:
    """Return the devices that a text like "64xH100" names; raise GenloomError for an unknown kind."""
    match = _DEVICES.fullmatch(text.strip())
    if match is None or int(match["count"] or 1) < 1:
        raise GenloomError("train.bad_devices", value=text)
    by_name = {name.lower(): kind for name, kind in kinds.items()}
    kind = by_name.get(match["name"].lower())
    if kind is None:
        hint = format_suggestion(match["name"], kinds)
        raise GenloomError("train.unknown_device", name=match["name"], hint=hint, known=", ".join(kinds))
    return Devices(int(match["count"] or 1), kind)


def find_device_kind(name: str, kinds: dict[str, DeviceKind]) -> DeviceKind | None:
    """Return the kind of a device that torch calls by a longer name, "NVIDIA H200"; None if the table lacks it."""
    name = name.replace(" ", "")
    found = [kind for key, kind in kinds.items() if re.search(rf"{re.escape(key)}(?![0-9])", name, re.IGNORECASE)]
    return max(found, key=lambda kind: len(kind.name), default=None)


def load_prices(workspace: Path, path: Path | None = None) -> dict[str, DeviceKind]:
    """Return the kinds of devices by name: the package's, replaced by those of the workspace, and of `path`.

    Raise GenloomError for a file that is missing or cannot be read, and for an unknown setting.
    """
    kinds = read_prices(_PACKAGE_PRICES)
    if (own_path := workspace / PRICES_FILE).is_file():
        kinds |= read_prices(own_path)
    return kinds if path is None else kinds | read_prices(path)


def read_prices(path: Path) -> dict[str, DeviceKind]:
    """Return the kinds of devices in a file; raise GenloomError for one that cannot be used."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_RECIPE_BYTES + 1)
        if len(content) > MAX_RECIPE_BYTES:
            raise ValueError(f"it is larger than {MAX_RECIPE_BYTES:,} bytes")
        kinds = {}
        for name, table in tomllib.loads(content.decode("utf-8")).items():
            if not isinstance(table, dict) or not table.keys() >= {"memory_gb", "tflops"}:
                raise ValueError(f"[{name}] must be a table with memory_gb and tflops")
            kinds[name] = parse_settings(DeviceKind, {**table, "name": name}, name)
        return kinds
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    except ValueError as error:  # invalid UTF-8 or TOML too
        reason = str(error).rstrip(".")
    raise GenloomError("train.bad_prices", path=path, reason=reason)
