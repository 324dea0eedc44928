"""`genloom serve`: the studio and the HTTP API, for other programs and for a team."""

import io
import logging
from typing import Annotated

from genloom.cli.console import Console
from genloom.cli.options.cluster import ClusterAddress
from genloom.cli.options.numbers import int_range
from genloom.cli.options.serving import ServingOptions
from genloom.cli.options.workspace import CommonOptions
from genloom.errors import GenloomError
from genloom.option_names import set_caller
from genloom.program import repeat_options


def run(
    *,
    host: str = "127.0.0.1",
    on: ClusterAddress = "",
    replicas: Annotated[int, int_range(1, 1024)] | None = None,
    serving: ServingOptions = ServingOptions(),
    common: CommonOptions = CommonOptions(),
) -> None:
    """Serve the studio and the HTTP API for other programs and a team.

    Parameters
    ----------
    host
        Address to listen on; any but this machine's own needs a key or an account.
    on
        Cluster whose machines hold the models: ray. The server itself stays here. [default: this machine]
    replicas
        Number of engines on the cluster, each with the models in use. [default: 1]
    """
    workspace, console = common.open()
    config = serving.build_config(host, choose_num_replicas(on, replicas))
    from genloom.cluster import open_optional_cluster
    from genloom.server.run import check_access, open_sockets, run_server
    from genloom.server.running import create_links, hold_workspace, publish_urls

    check_access(workspace, config)
    with hold_workspace(workspace), open_optional_cluster(on):
        sockets, config = open_sockets(config)
        publish_urls(workspace, config)
        # A log that keeps standard output is no place for a link that signs in.
        links = create_links(workspace, config, config.list_urls()) if console.is_live or common.json else []
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("genloom.server").setLevel(logging.INFO)
        run_server(workspace, config, sockets, lambda: print_links(console, config.list_urls(), links, config.is_lan))


def choose_num_replicas(on: str, replicas: int | None) -> int:
    """Return the number of engines on the cluster, 0 without one; raise GenloomError where they cannot be."""
    if not on and replicas is not None:
        raise GenloomError("cli.replicas_without_cluster", count=replicas)
    if on.startswith("ray://"):
        raise GenloomError("cli.serve_outside_cluster", address=on)
    return (replicas or 1) if on else 0


def print_links(console: Console, urls: list[str], links: list[str], is_qr_code: bool) -> None:
    """Print where the server is, and the links that sign in one browser each, if there are any."""
    if links:
        console.print_line(f"Studio: {links[0]}")
        console.print_hint("        The link works once, within 30 minutes; genloom studio makes another.")
    else:
        console.print_hint(f"Studio: {urls[0]} (a link to sign in with: genloom studio)")
    console.print_hint(f"API:    {urls[0]}/v1 (a key for programs: genloom access new NAME)")
    if is_qr_code and links[1:]:
        console.print_line(f"On your phone: {links[1]}")
        if console.is_live:
            console.print_lines(draw_qr_code(links[1]))
    console.print_result({"urls": urls, "links": links})
    repeat_options()  # what clients are told does not name folders of this machine
    set_caller("http")


def draw_qr_code(text: str) -> list[str]:
    """Return the lines of a QR code, two rows of it a line."""
    import segno

    drawing = io.StringIO()
    segno.make(text, micro=False).terminal(out=drawing, compact=True)
    return drawing.getvalue().splitlines()
