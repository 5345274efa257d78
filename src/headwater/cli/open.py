"""The site that a command acts on, whether a server runs on it or not."""

from __future__ import annotations

import os
from pathlib import Path

from headwater.assembly import build_site, prepare_data
from headwater.config import ServerSettings, read_settings
from headwater.kernel import HeadwaterError, Kind
from headwater.running import LOCK_FILE, read_server_file
from headwater.web.site import Site


class NotTheServersUser(HeadwaterError):
    code = "not_the_servers_user"
    kind = Kind.NOT_ALLOWED

    def __init__(self, data_dir: Path, uid: int) -> None:
        super().__init__(
            f"The server on {data_dir} runs as {_name_of(uid)}, and files that root makes there it could not open: nothing was "
            f"done. Run this as that user: runuser -u {_name_of(uid)} -- headwater …"
        )


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def require_servers_user(data_dir: Path) -> None:
    """That root does not leave locks and a database's log behind that the server's own user cannot open.

    Raises:
        NotTheServersUser
    """
    try:
        uid = (data_dir / LOCK_FILE).stat().st_uid
    except FileNotFoundError:
        return
    if os.geteuid() == 0 and uid != 0:
        raise NotTheServersUser(data_dir, uid)


def open_site(data_dir: Path) -> Site:
    """Open (and on the first use make) the data folder.

    Raises:
        NotTheServersUser
    """
    require_servers_user(data_dir)
    settings = read_settings(data_dir)
    own = settings.of(ServerSettings)
    running = read_server_file(data_dir)
    base_url = own.url or (running["url"] if running else f"http://{own.host}:{own.port}")
    prepare_data(data_dir, settings)
    return build_site(data_dir, settings, base_url=base_url)
