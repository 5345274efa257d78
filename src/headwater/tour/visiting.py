"""The site as the tour meets it: over HTTP, with huggingface_hub and the site's own API. Everything here is safe to repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.compute.cli import OVER, Client, RunsRefused
from headwater.tour.errors import TourBrokeOff
from headwater.tour.recipes import At

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LOOK_S = 0.5
GRADE_WAITS_S = 120.0
ENDPOINT_WAITS_S = 300.0

Told = Callable[[str], None]


class Visit:
    """``own`` is the account that the tour acts as; ``tell`` hears what is going on in a step, in a few words."""

    def __init__(self, url: str, token: str, own: str, *, tell: Told) -> None:
        from huggingface_hub import HfApi

        self.url, self.token, self.own, self.tell = url.rstrip("/"), token, own, tell
        self.client = Client(url, token)
        self.hf: HfApi = HfApi(endpoint=self.url, token=token)

    def page(self, path: str) -> str:
        """The address of a page."""
        return f"{self.url}/{path.removeprefix('models/')}"

    # ---- repositories

    def put(self, repo: str, folder: Path, message: str, *, step: str = "", private: bool = False) -> tuple[At, bool]:
        """Have a folder's files in a repository; with them, whether all was there already.

        Raises:
            TourBrokeOff: they are to be private, and the repository that is there is not.
        """
        kind, _, name = repo.partition("/")
        kind = kind.removesuffix("s")
        self.hf.create_repo(name, repo_type=kind, private=private, exist_ok=True)
        found = self.hf.repo_info(name, repo_type=kind)
        if private and not found.private:
            why = f"{repo} is public, and texts of your own go into private repositories only. Make it private, or rename it"
            raise TourBrokeOff(step, why, self.page(repo))
        before = found.sha
        made = self.hf.upload_folder(
            repo_id=name,
            repo_type=kind,
            folder_path=folder,
            commit_message=message,
            ignore_patterns=["**/__pycache__/*", "__pycache__/*"],
        )
        return At(repo, str(made.oid)), made.oid == before

    def has(self, at: At) -> bool:
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        kind, _, name = at.repo.partition("/")
        try:
            self.hf.repo_info(name, repo_type=kind.removesuffix("s"), revision=at.commit)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return False
        return True

    # ---- runs

    def run(self, step: str, recipe: str, output: str) -> tuple[dict[str, Any], At, bool]:
        """Have a run of this recipe: one that has succeeded, or that is under way, or a new one.

        Args:
            output: as the recipe calls it.

        Returns:
            The run, what it made, and whether that was there already.

        Raises:
            TourBrokeOff
        """
        found = self._find_run(recipe)
        if found is not None and found["state"] == "succeeded":
            made = self._made(found, output)
            if made is not None and self.has(made):
                return found, made, True
            found = None
        if found is None:
            found = self._submit(step, recipe)
        over = self._wait(found["id"])
        page = self.page(f"runs/{over['id']}")
        if over["state"] != "succeeded":
            reason = over["reason"] or {}
            raise TourBrokeOff(step, reason.get("message") or f"its run is {over['state']}", page)
        made = self._made(over, output)
        if made is None:
            raise TourBrokeOff(step, f"its run has put nothing into {output!r}", page)
        return over, made, False

    def _find_run(self, recipe: str) -> dict[str, Any] | None:
        """The latest run of this very recipe that has not failed."""
        listed = self.client.call("GET", "/runs", owner=self.own, limit=100)
        for each in listed:
            if each["state"] in ("failed", "cancelled", "lost"):
                continue
            if self.client.call("GET", f"/runs/{each['id']}/recipe") == recipe:
                found: dict[str, Any] = self.client.call("GET", f"/runs/{each['id']}")
                return found
        return None

    def _submit(self, step: str, recipe: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.client.call("POST", "/runs", {"recipe": recipe})
        except RunsRefused as refused:
            problems = [f"{each['where']}: {each['what']}. {each['do']}" for each in refused.problems[:3]]
            if len(refused.problems) > len(problems):
                problems.append(f"and {len(refused.problems) - len(problems)} more")
            raise TourBrokeOff(step, "; ".join(problems) or refused.message, self.page("runs/new")) from refused
        return found

    def _wait(self, run_id: int) -> dict[str, Any]:
        while True:
            found: dict[str, Any] = self.client.call("GET", f"/runs/{run_id}")
            if found["state"] in OVER:
                return found
            self.tell(f"run {run_id} {found['state']}{_words(found['progress'])}")
            time.sleep(LOOK_S)

    @staticmethod
    def _made(run: Mapping[str, Any], output: str) -> At | None:
        """What stands last on the branch that the output's repository shows; checkpoints are on others."""
        commits = [
            each for each in run["commits"] if each["output"] == output and not each["revision"].startswith("step-")
        ]
        return At(run["outputs"][output]["repo"], commits[-1]["commit"]) if commits else None

    # ---- grades

    def grade(self, step: str, repo: str, commit: str) -> dict[str, Any]:
        """The grade of this commit, once it is there. Raises: TourBrokeOff."""
        deadline = time.monotonic() + GRADE_WAITS_S
        while True:
            found: dict[str, Any] = self.client.call("GET", f"/grades/{repo}")
            if found["commit"] == commit and not found["is_behind"]:
                return found
            if time.monotonic() > deadline:
                why = f"{repo} was not graded within {GRADE_WAITS_S:.0f} s: is a worker of the site running (`headwater status`)?"
                raise TourBrokeOff(step, why, self.page(f"{repo}/openness"))
            self.tell("waiting for the grade")
            time.sleep(LOOK_S)

    # ---- endpoints

    def serve(self, step: str, model: At, name: str, **wish: Any) -> tuple[dict[str, Any], bool]:
        """Have an endpoint of this commit that answers. Raises: TourBrokeOff."""
        page, path = self.page(f"endpoints/{self.own}/{name}"), f"/endpoints/{self.own}/{name}"
        found, was_there = self._find_endpoint(path), True
        if found is not None and (found["repository"], found["commit"]) != (
            model.repo.removeprefix("models/"),
            model.commit,
        ):
            self.client.call("DELETE", path)
            found = None
        try:
            if found is None:
                body = {"model": model.repo.removeprefix("models/"), "revision": model.commit, "name": name, **wish}
                found, was_there = self.client.call("POST", "/endpoints", body), False
            elif found["state"] in ("stopped", "failed"):
                found, was_there = self.client.call("POST", f"{path}/start"), False
        except RunsRefused as refused:
            raise TourBrokeOff(step, refused.message, self.page("endpoints")) from refused
        deadline = time.monotonic() + ENDPOINT_WAITS_S
        while found["state"] not in ("ready", "asleep"):
            if found["state"] in ("failed", "stopped"):
                raise TourBrokeOff(step, f"the endpoint {found['state']}: {found['reason']}", page)
            if time.monotonic() > deadline:
                why = (
                    f"the endpoint was not ready within {ENDPOINT_WAITS_S:.0f} s ({found['state']}: {found['reason']})"
                )
                raise TourBrokeOff(step, why, page)
            self.tell(f"engine {found['engine']} {found['state']}")
            time.sleep(LOOK_S)
            found = self.client.call("GET", path)
        return found, was_there

    def _find_endpoint(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.client.call("GET", path)
        except RunsRefused as refused:
            if refused.status == 404:
                return None
            raise
        return found

    def ask(self, step: str, model: str, question: str, *, max_tokens: int) -> str:
        """One question through the ``openai`` SDK. Raises: TourBrokeOff."""
        from openai import OpenAI, OpenAIError

        with OpenAI(base_url=f"{self.url}/v1", api_key=self.token, timeout=300) as openai:
            try:
                answer = openai.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": question}],
                    max_tokens=max_tokens,
                    temperature=0,
                )
            except OpenAIError as exc:
                raise TourBrokeOff(step, str(exc), self.page(f"endpoints/{model}")) from exc
        return (answer.choices[0].message.content or "").strip()


def _words(progress: Mapping[str, Any] | None) -> str:
    if not progress:
        return ""
    done, total, what = progress.get("done"), progress.get("total"), progress.get("what") or ""
    return f": {done:g}/{total:g} {what}".rstrip() if total else f": {done:g} {what}".rstrip()
