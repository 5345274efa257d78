"""The site that a command acts on, whether a server runs on it or not."""

from __future__ import annotations

from pathlib import Path

from headwater.assembly import build_site, prepare_data
from headwater.config import ServerSettings, read_settings
from headwater.running import read_server_file
from headwater.web.site import Site


def open_site(data_dir: Path) -> Site:
    """Open (and on the first use make) the data folder."""
    settings = read_settings(data_dir)
    own = settings.of(ServerSettings)
    running = read_server_file(data_dir)
    base_url = own.url or (running["url"] if running else f"http://{own.host}:{own.port}")
    prepare_data(data_dir, settings)
    return build_site(data_dir, settings, base_url=base_url)
