"""A run as its own program sees it."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from headwater.compute import provenance
from headwater.compute.models import LARGEST_RESULT_BYTES, METRIC_NAME, PROVENANCE_FILE
from headwater.compute.program import surroundings
from headwater.compute.program.reporter import Reporter

KEPT_CHECKPOINTS = 2
_IGNORED = (".git", ".cache", "__pycache__")


class Cancelled(BaseException):
    """Somebody wants the run to end: raised in the main thread by SIGTERM, so that ``finally`` blocks do their work."""


class RunFailed(SystemExit):
    """The run has said why it failed; the process ends with exit code 1."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(1)
        self.reason_code, self.message = code, message


class Run:
    """Made by ``from_environment``, once a process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.id = int(environ["HEADWATER_RUN_ID"])
        self.url = environ["HEADWATER_RUN_URL"]
        self.endpoint = environ["HF_ENDPOINT"]
        self.token = environ["HF_TOKEN"]
        self.folder = Path(environ["HEADWATER_RUN_FOLDER"])
        self._reporter = Reporter(self.url, self.token, self._hear_cancel)
        context = self._reporter.call("GET", "/context")
        self.recipe: dict[str, Any] = context["recipe"]
        self.recipe_text: str = context["recipe_text"]
        self.attempt: int = context["attempt"]
        self._told: dict[str, Any] = context["statement"]
        self._outputs: dict[str, OutputRepository] = {}
        self._inputs: dict[str, Path] = {}
        self._on_cancel: list[Callable[[], None]] = []
        self._is_closed = False
        self._is_cancelled = False
        self._failed = False
        self._energy: Any = None
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> Self:
        """The run that this process was started for.

        From now on SIGTERM raises ``Cancelled`` in the main thread, and an exception that nobody catches is the run's reason.
        """
        run = cls(os.environ)
        run.folder.mkdir(parents=True, exist_ok=True)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, run._take_cancel)
        sys.excepthook = run._take_exception
        surroundings.hush_libraries()
        environment = surroundings.describe()
        run._told["environment"] = environment
        run._reporter.say(environment=environment)
        run._reporter.start()
        run._energy = surroundings.measure_energy(run._reporter)
        atexit.register(run.close)
        return run

    # ---- what it is about

    @property
    def own(self) -> dict[str, Any]:
        """What stands under ``with:`` in the recipe, with its defaults."""
        found: dict[str, Any] = self.recipe["with"]
        return found

    @property
    def seed(self) -> int:
        return int(self.recipe["seed"])

    def input_commit(self, name: str) -> str:
        return str(self.recipe["inputs"][name]["commit"])

    def input_repo(self, name: str) -> tuple[str, str]:
        """Type (model, dataset, space) and ``namespace/name``."""
        return _split(self.recipe["inputs"][name]["repo"])

    def input(self, name: str, *, allow: list[str] | None = None) -> Path:
        """The files of an input at its pinned commit, in a folder; ``allow`` are patterns of those that are wanted."""
        key = f"{name}\0{allow}"
        if key not in self._inputs:
            from huggingface_hub import snapshot_download

            kind, repo = self.input_repo(name)
            found = snapshot_download(
                repo,
                repo_type=kind,
                revision=self.input_commit(name),
                endpoint=self.endpoint,
                token=self.token,
                allow_patterns=allow,
            )
            self._inputs[key] = Path(found)
        return self._inputs[key]

    def folders_of(self, name: str) -> list[Path]:
        """Where the files of an input lie that were asked for so far."""
        return [folder for key, folder in self._inputs.items() if key.partition("\0")[0] == name]

    def output(self, name: str) -> OutputRepository:
        """One that the recipe names. Raises: KeyError."""
        if name not in self._outputs:
            self._outputs[name] = OutputRepository(self, name, self.recipe["outputs"][name])
        return self._outputs[name]

    # ---- saying how it goes

    def metric(self, step: int, /, **values: float) -> None:
        """Points of curves; a value that is not finite is shown as a gap."""
        self.metrics(step, values)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """As ``metric``, for names that are no Python names, such as ``eval/loss``."""
        for name in values:
            if not METRIC_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a metric: letters, digits, and _ . / @ -")
        self._reporter.point(step, values)

    def progress(self, done: float, total: float | None, what: str = "") -> None:
        self._reporter.say(progress={"done": done, "total": total, "what": what})

    def note(self, text: str) -> None:
        """A sentence that people should read; shown above the log."""
        self._reporter.note(text)

    def result(self, facts: Mapping[str, Any]) -> None:
        """What came out, small; shown on the page and kept. Raises: ValueError."""
        size = len(json.dumps(dict(facts), allow_nan=False).encode())  # what is no number is no JSON
        if size > LARGEST_RESULT_BYTES:
            raise ValueError(f"a result has at most {LARGEST_RESULT_BYTES} bytes, and this one has {size}")
        self._reporter.say(result=dict(facts))

    def fail(self, code: str, message: str) -> NoReturn:
        """End, with a reason that people read; ``code`` is a stable word of the kind's own."""
        self._failed = True
        self._reporter.say(failure={"code": code, "message": message})
        print(f"{code}: {message}", file=sys.stderr, flush=True)
        raise RunFailed(code, message)

    def flush(self) -> None:
        """Have all that was said so far taken by the site."""
        self._reporter.flush()

    # ---- checkpoints

    def checkpoint(self, folder: Path | str, *, step: int | None = None) -> Path:
        """Keep a copy of this folder for a later attempt on the same host; the last ones are kept."""
        kept = self.folder / "checkpoints"
        kept.mkdir(exist_ok=True)
        number = step if step is not None else 1 + max((_number(path) for path in kept.iterdir()), default=0)
        target, temporary = kept / f"{number:012d}", Path(tempfile.mkdtemp(prefix=".new-", dir=kept))
        shutil.copytree(folder, temporary, dirs_exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)  # whole or not at all
        for old in sorted(kept.glob("[0-9]*"))[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def last_checkpoint(self) -> Path | None:
        """The latest that an attempt of this run has kept here."""
        found = sorted((self.folder / "checkpoints").glob("[0-9]*"))
        return found[-1] if found else None

    # ---- its end

    def on_cancel(self, act: Callable[[], None]) -> None:
        """Call ``act()`` in the main thread instead of raising ``Cancelled``: it may set a flag that a loop looks at."""
        self._on_cancel.append(act)

    def close(self) -> None:
        """Say the last of it. Called at the end of the process, too."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        if self._energy is not None:
            with contextlib.suppress(Exception):
                self._energy.stop()
        with contextlib.suppress(Exception):
            self._reporter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is not None and isinstance(exc, Exception):
            self._say_exception(exc)
        self.close()
        if isinstance(exc, Cancelled):
            sys.exit(143)

    def _take_cancel(self, *_: object) -> None:
        if self._is_cancelled:
            return  # the host says it by a signal and the site in its answer: nothing is interrupted twice
        self._is_cancelled = True
        if self._on_cancel:
            for act in self._on_cancel:
                act()
            return
        raise Cancelled

    def _hear_cancel(self) -> None:
        """The site says so: where nobody could send the signal, this does."""
        os.kill(os.getpid(), signal.SIGTERM)

    def _say_exception(self, exc: BaseException) -> None:
        if not self._failed:
            self._failed = True
            text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
            self._reporter.say(failure={"code": "exception", "message": text[:2000]})

    def _take_exception(self, kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
        if isinstance(exc, Exception):
            self._say_exception(exc)
        if not isinstance(exc, Cancelled):  # to be asked to end is no crash
            sys.__excepthook__(kind, exc, trace)

    def statement(self, subjects: Mapping[str, str]) -> dict[str, Any]:
        """Provenance of these files: path and sha256."""
        energy = None if self._energy is None else self._energy.latest()
        return provenance.statement(self._told, subjects, energy=energy)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return self._reporter.call(method, path, body)


class OutputRepository:
    """A repository that the run writes; created by the site when there is something to put into it."""

    def __init__(self, run: Run, name: str, told: Mapping[str, Any]) -> None:
        self.run = run
        self.name = name
        self.kind, self.repo = _split(told["repo"])
        self.is_ready = False
        self.branch = "main"

    def ensure(self) -> None:
        """Have the site create it, if it is not there."""
        if not self.is_ready:
            found = self.run.call("POST", f"/outputs/{self.name}", {})
            self.kind, self.repo, self.branch = found["type"], found["id"], found["branch"]
            self.is_ready = True

    def commit(self, folder: Path | str, message: str, *, revision: str | None = None) -> str:
        """Put a folder's files into the repository, with the statement of who made them out of what; the commit's id.

        Args:
            revision: a branch, made from the default one where it is not there; without it, the default branch.
        """
        from huggingface_hub import CommitOperationAdd, HfApi

        self.ensure()
        folder = Path(folder)
        api = HfApi(endpoint=self.run.endpoint, token=self.run.token)
        branch = revision or self.branch
        if revision is not None and revision != self.branch:
            api.create_branch(self.repo, branch=revision, repo_type=self.kind, exist_ok=True)
        files = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not set(path.relative_to(folder).parts) & set(_IGNORED)
        }
        files.pop(PROVENANCE_FILE, None)
        digests = {name: _sha256(path) for name, path in files.items()}
        statement = json.dumps(self.run.statement(digests), ensure_ascii=False, indent=1).encode()
        operations = [
            *(CommitOperationAdd(name, str(path)) for name, path in files.items()),
            CommitOperationAdd(PROVENANCE_FILE, statement),
        ]
        made = api.create_commit(self.repo, operations, commit_message=message, repo_type=self.kind, revision=branch)
        self.run._reporter.flush()  # noqa: SLF001 -- what came before it is said before it
        told = {"output": self.name, "commit": made.oid, "revision": branch, "files": digests}
        self.run.call("POST", "/report", {"commits": [told]})
        return str(made.oid)


def _split(path: str) -> tuple[str, str]:
    plural, _, name = path.partition("/")
    return plural.removesuffix("s"), name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _number(path: Path) -> int:
    return int(path.name) if path.name.isdigit() else 0
