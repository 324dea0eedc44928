"""`genloom studio`: the web studio on this machine, opened in the browser."""

import logging
import os
import sys

from genloom.cli.commands.serve import print_links
from genloom.cli.options.serving import ServingOptions
from genloom.cli.options.workspace import CommonOptions

_NUM_PORTS = 20  # that are tried, from the wanted one on


def run(
    *,
    no_browser: bool = False,
    serving: ServingOptions = ServingOptions(),
    common: CommonOptions = CommonOptions(),
) -> None:
    """Open the web studio: make, rate, teach and watch in the browser; nothing leaves this machine.

    Parameters
    ----------
    no_browser
        Only print the link.
    """
    workspace, console = common.open()
    config = serving.build_config()
    from genloom.server.run import open_sockets, run_server
    from genloom.server.running import create_links, find_running_urls, hold_workspace, publish_urls

    def show_links(urls: list[str]) -> None:
        links = create_links(workspace, config, urls)
        print_links(console, urls, links, config.is_lan)
        if not no_browser and not common.json:
            open_browser(links[0])

    if urls := find_running_urls(workspace):  # only another link is needed
        show_links(urls)
        return
    with hold_workspace(workspace):
        sockets, config = open_sockets(config, _NUM_PORTS)
        publish_urls(workspace, config)
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
        console.print_line("Press Ctrl+C to end.")
        run_server(workspace, config, sockets, lambda: show_links(config.list_urls()))


def open_browser(link: str) -> None:
    """Open a link in the browser of a desktop; elsewhere, as over SSH, people open the printed one."""
    has_desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if has_desktop and not os.environ.get("SSH_CONNECTION"):
        import webbrowser

        webbrowser.open(link)
