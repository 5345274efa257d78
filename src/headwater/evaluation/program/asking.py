"""lm-eval at work: the model or the endpoint, templates in a sandbox, progress as it goes."""

from __future__ import annotations

import os
import shlex
import time
from importlib.metadata import version
from typing import Any

from headwater.compute.program import Run
from headwater.evaluation.program import judging
from headwater.evaluation.program.problems import CannotEvaluate
from headwater.evaluation.program.suite import Chosen
from headwater.evaluation.recipe import Endpoint, EvaluateRecipe
from headwater.evaluation.recipe_names import MODEL, SUITE

# Weights in safetensors, the configuration, the tokenizer: no pickles, no Python.
MODEL_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken"]


def harness() -> str:
    return f"lm-eval {version('lm_eval')}"


def ask(run: Run, recipe: EvaluateRecipe, chosen: Chosen) -> dict[str, Any]:
    """All that lm-eval found out, samples included; ``seconds`` is how long it was at it, its imports left out.

    Raises:
        CannotEvaluate
    """
    run.progress(0, None, "imports")
    import lm_eval
    from lm_eval.tasks import TaskManager

    confine_templates()
    keep_the_host_to_itself()
    judging.register()
    kind, args = _endpoint(run, recipe) if recipe.endpoint is not None else _model(run, recipe)
    tell_progress(run)
    served = None if recipe.endpoint is None else _served(run, recipe.endpoint, args)
    began, used = time.perf_counter(), _cpu_seconds()
    try:
        found: dict[str, Any] | None = lm_eval.simple_evaluate(
            model=kind if served is None else served,
            model_args=args,
            tasks=list(chosen.names),
            task_manager=TaskManager(include_path=str(chosen.configs), include_defaults=False),
            num_fewshot=recipe.few_shot,
            batch_size=1 if recipe.endpoint is not None else recipe.batch_size,
            device=None if recipe.endpoint is not None else device(),
            limit=recipe.limit,
            log_samples=True,
            apply_chat_template=recipe.chat_template or recipe.endpoint is not None,
            random_seed=run.seed % (1 << 32),
            numpy_random_seed=run.seed % (1 << 32),
            torch_random_seed=run.seed % (1 << 32),
            fewshot_random_seed=run.seed % (1 << 32),
        )
    except CannotEvaluate:
        raise
    except Exception as exc:  # lm-eval raises whatever its parts raise; the trace goes to the log
        import traceback

        traceback.print_exc()
        raise CannotEvaluate("harness_failed", f"lm-eval ended with {type(exc).__name__}: {str(exc)[:1500]}") from exc
    if not found or not found.get("results"):
        raise CannotEvaluate("no_results", "lm-eval gave no results: the chosen tasks have no items.")
    found["seconds"] = time.perf_counter() - began
    found["cpu_s"] = _cpu_seconds() - used
    found["config"]["model"] = kind
    if served is not None and served.n_again:
        run.note(f"{served.n_again} requests were not answered at once, and asked again: {served.told}")
    return found


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def device() -> str:
    """The machine's accelerator by its torch name, or else the processor: lm-eval alone takes CUDA to be there."""
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if found is None else found.type


def _model(run: Run, recipe: EvaluateRecipe) -> tuple[str, dict[str, Any]]:
    folder = run.input(MODEL, allow=MODEL_FILES)
    if not (folder / "config.json").is_file():
        raise CannotEvaluate("no_model", "The model has no config.json: give a repository that transformers can load.")
    if not any(folder.glob("*.safetensors")):
        raise CannotEvaluate(
            "no_weights", "The model has no safetensors weights: convert it first (pickles are not loaded)."
        )
    args: dict[str, Any] = {
        "pretrained": str(folder),
        "dtype": recipe.dtype,
        "trust_remote_code": False,
        "use_safetensors": True,
    }
    if recipe.max_length is not None:
        args["max_length"] = recipe.max_length
    return "hf", args


def _endpoint(run: Run, recipe: EvaluateRecipe) -> tuple[str, dict[str, Any]]:
    if recipe.endpoint is None:
        raise CannotEvaluate("no_endpoint", "No endpoint was named.")
    return "local-chat-completions", {
        "model": recipe.endpoint.model,
        "base_url": f"{run.endpoint}/v1/chat/completions",
        "tokenized_requests": False,
    }


def _served(run: Run, endpoint: Endpoint, args: dict[str, Any]) -> Any:
    from headwater.evaluation.program.served import ServedModel

    # Arguments are written into the results: the token is none of them.
    return ServedModel(token=run.token, concurrency=endpoint.concurrency, **args)


def confine_templates() -> None:
    """A suite's templates are strangers': they reach what they are given, and nothing behind it."""
    from jinja2 import BaseLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from lm_eval import utils

    env = ImmutableSandboxedEnvironment(loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True)
    env.filters["regex_replace"] = utils.regex_replace
    utils.env = env


def keep_the_host_to_itself() -> None:
    """What torch knows of the machine, its processor's weaknesses and its drivers included, is not published with the scores.

    lm-eval gathers it by a dozen programs, which takes a second of processor time. The statement beside the results says what ran it.
    """
    from lm_eval import evaluator

    def add_versions(results: dict[str, Any]) -> None:
        results |= {"lm_eval_version": version("lm_eval"), "transformers_version": version("transformers")}

    evaluator.add_env_info = add_versions


def tell_progress(run: Run) -> None:
    """lm-eval counts its requests with tqdm; what it counts is told to the run, too."""
    from lm_eval.models import api_models, huggingface
    from tqdm import tqdm

    class Told(tqdm):  # type: ignore[misc]
        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.total:
                run.progress(self.n, self.total, str(self.desc or "requests").strip(": "))
            return shown

    for module in (huggingface, api_models):
        if hasattr(module, "tqdm"):
            module.tqdm = Told


def command_of(run: Run, recipe: EvaluateRecipe, chosen: Chosen) -> str:
    """What one would type to ask the same with lm-eval alone; ``HF_ENDPOINT`` is this site's address.

    The suite's folder is where it is typed, for tasks name their data from there.
    """
    take = ["hf", "download", run.input_repo(SUITE)[1], "--repo-type", "dataset", "--revision", run.input_commit(SUITE)]
    words = ["lm_eval", "run", "--tasks", ",".join(chosen.names), "--include_path", "."]
    if recipe.endpoint is not None:
        base = f"{run.endpoint}/v1/chat/completions"
        words += ["--model", "local-chat-completions", "--model_args", f"model={recipe.endpoint.model},base_url={base}"]
        words += ["--apply_chat_template"]
    else:
        args = f"pretrained={run.input_repo(MODEL)[1]},revision={run.input_commit(MODEL)},dtype={recipe.dtype}"
        if recipe.max_length is not None:
            args += f",max_length={recipe.max_length}"
        words += ["--model", "hf", "--model_args", args, "--batch_size", str(recipe.batch_size)]
        if recipe.chat_template:
            words += ["--apply_chat_template"]
    if recipe.few_shot is not None:
        words += ["--num_fewshot", str(recipe.few_shot)]
    if recipe.limit is not None:
        words += ["--limit", str(recipe.limit)]
    words += ["--seed", str(run.seed % (1 << 32)), "--log_samples", "--output_path", "results"]
    return f"{shlex.join([*take, '--local-dir', 'suite'])} && cd suite && {shlex.join(words)}"
