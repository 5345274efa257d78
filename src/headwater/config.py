"""Settings: what each package declares, read from the environment and from ``headwater.toml`` in the data folder.

The environment wins over the file, flags of the command line over both. Bad configuration lists every problem at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from headwater.accounts.settings import IdentitySettings, OidcSettings
from headwater.blobs.settings import BackupSettings, BlobSettings, S3Settings
from headwater.compute.settings import ComputeSettings
from headwater.corpora.settings import CorporaSettings
from headwater.db import DatabaseSettings
from headwater.hub.checking.settings import CheckSettings
from headwater.hub.community.settings import AttachmentSettings, WebhookSettings
from headwater.hub.git.settings import GitSettings
from headwater.hub.lfs.settings import LfsSettings
from headwater.hub.log.settings import LogSettings
from headwater.hub.quotas.settings import QuotaSettings
from headwater.kernel import HeadwaterError, Kind, Settings, setting
from headwater.serving.settings import LlamaSettings, ServingSettings
from headwater.web.settings import MetricsSettings, RateSettings, TelemetrySettings, WebSettings

PREFIX = "HEADWATER_"
DATA_VARIABLE = "HEADWATER_DATA"  # the folder itself, which --data names: commands read it before there are settings


def _check_url(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        return f"{value!r} is not an address such as https://hub.example.edu, without a path"
    return None


@dataclass(frozen=True)
class ServerSettings:
    """The process itself. Flags of ``headwater up`` stand above these."""

    section: ClassVar[str] = ""

    host: str = setting("127.0.0.1", "Address to listen on. 0.0.0.0 listens on every network.")
    port: int = setting(
        7860,
        "Port to listen on; 0 takes a free one.",
        check=lambda value: None if 0 <= value <= 65535 else f"{value} is not between 0 and 65535",
    )
    workers: int = setting(
        0,
        "Web worker processes; 0 takes two, or one on a single processor.",
        check=lambda value: None if 0 <= value <= 256 else f"{value} is not between 0 and 256",
    )
    queue_workers: int = setting(
        1,
        "Processes of this host that do the site's jobs. 0 where other hosts do them: this one then only answers.",
        check=lambda value: None if 0 <= value <= 64 else f"{value} is not between 0 and 64",
    )
    url: str | None = setting(
        None,
        "Public address, as people and clients reach the site; every link carries it. Needed behind a proxy.",
        check=_check_url,
    )
    drain_delay_s: float = setting(
        0.0,
        "When it is told to stop, it goes on serving for so long while /readyz says 503, so that balancers turn away.",
        check=lambda value: None if 0 <= value <= 600 else f"{value} is not between 0 and 600",
    )
    drain_timeout_s: float = setting(
        5.0,
        "After that, what is being answered, and the job at hand, may take so long to finish.",
        check=lambda value: None if 0 <= value <= 86400 else f"{value} is not between 0 and 86400",
    )
    log_level: str = setting(
        "info",
        "Least level that is logged: debug, info, warning or error.",
        check=lambda value: None if value in ("debug", "info", "warning", "error") else f"{value!r} is no level",
    )
    log_file_bytes: int = setting(
        16 << 20,
        "When headwater.log in the data folder (`headwater up --background`) is larger, it is put beside and begun anew.",
        check=lambda value: None if value >= 65536 else f"{value} is less than 64 KiB (65536)",
    )
    log_files_kept: int = setting(
        4,
        "How many such files stay beside it: headwater.log.1 is the latest.",
        check=lambda value: None if 1 <= value <= 1000 else f"{value} is not between 1 and 1000",
    )


# Every settings class there is, in the order of docs/settings.md.
SECTIONS: tuple[type, ...] = (
    ServerSettings,
    IdentitySettings,
    DatabaseSettings,
    BlobSettings,
    S3Settings,
    BackupSettings,
    CheckSettings,
    WebSettings,
    RateSettings,
    MetricsSettings,
    OidcSettings,
    GitSettings,
    LfsSettings,
    QuotaSettings,
    AttachmentSettings,
    WebhookSettings,
    LogSettings,
    ComputeSettings,
    CorporaSettings,
    TelemetrySettings,
    ServingSettings,
    LlamaSettings,
)


class BadConfiguration(HeadwaterError):
    code = "bad_configuration"
    kind = Kind.BAD_INPUT

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(
            f"The configuration has {len(problems)} problem(s); docs/settings.md lists what can be set:\n{lines}"
        )


@dataclass(frozen=True)
class Declared:
    """One setting as declared."""

    owner: type
    name: str
    type: Any
    default: Any
    description: str
    check: Any

    @property
    def section(self) -> str:
        found: str = self.owner.section  # type: ignore[attr-defined]
        return found

    @property
    def variable(self) -> str:
        return PREFIX + "_".join(filter(None, (self.section, self.name))).upper()

    @property
    def key(self) -> str:
        return ".".join(filter(None, (self.section, self.name)))


def iter_declared() -> Iterator[Declared]:
    """Every setting of every section, in order."""
    for owner in SECTIONS:
        hints = typing.get_type_hints(owner)
        for field in dataclasses.fields(owner):
            yield Declared(
                owner,
                field.name,
                hints[field.name],
                field.default,
                field.metadata["description"],
                field.metadata["check"],
            )


def read_settings(data_dir: Path, environ: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """The settings of this site.

    Args:
        flags: values given on the command line for ``ServerSettings``; None means not given.

    Raises:
        BadConfiguration: with every problem there is.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    in_file = dict(_flatten(_read_file(data_dir / "headwater.toml", problems)))
    in_environ = {name: value for name, value in environ.items() if name.startswith(PREFIX) and name != DATA_VARIABLE}
    values: dict[type, dict[str, Any]] = {owner: {} for owner in SECTIONS}
    known_keys, known_variables = [], []
    for declared in iter_declared():
        known_keys.append(declared.key)
        known_variables.append(declared.variable)
        from_file = in_file.pop(declared.key, None)
        text = in_environ.pop(declared.variable, None)
        flag = flags.get(declared.name) if declared.owner is ServerSettings else None
        try:
            if flag is not None:
                value, where = flag, f"--{declared.name}"
            elif text is not None:
                value, where = _from_text(declared, text), declared.variable
            elif from_file is not None:
                value, where = _from_toml(declared, from_file), f"{declared.key} in headwater.toml"
            else:
                continue
        except ValueError as exc:
            problems.append(str(exc))
            continue
        wrong = declared.check(value) if declared.check else None
        if wrong:
            problems.append(f"{where}: {wrong}")
        values[declared.owner][declared.name] = value
    problems += [f"{key} in headwater.toml is not a setting{_near(key, known_keys)}" for key in in_file]
    problems += [f"{name} is not a setting{_near(name, known_variables)}" for name in in_environ]
    if problems:
        raise BadConfiguration(problems)
    return Settings(owner(**given) for owner, given in values.items())


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _read_file(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        problems.append(f"{path} cannot be read: {exc}")
        return {}


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain_type(declared: Declared) -> tuple[Any, bool]:
    """The type without ``| None``, and whether None was allowed."""
    if isinstance(declared.type, types.UnionType):
        return next(t for t in typing.get_args(declared.type) if t is not type(None)), True
    return declared.type, False


def _from_text(declared: Declared, text: str) -> Any:
    kind, optional = _plain_type(declared)
    if optional and not text:
        return None
    if kind is bool:
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if text.lower() not in words:
            raise ValueError(f"{declared.variable}: {text!r} is neither true nor false")
        return words[text.lower()]
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{declared.variable}: {text!r} is not {_describe(kind)}") from None


def _from_toml(declared: Declared, value: Any) -> Any:
    kind, _ = _plain_type(declared)
    if typing.get_origin(kind) is tuple:
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            return tuple(value)
    elif kind is float and type(value) in (int, float):
        return float(value)
    elif type(value) is kind:
        return value
    raise ValueError(f"{declared.key} in headwater.toml: {value!r} is not {_describe(kind)}")


def _describe(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(kind, "a list of texts")
