"""What the program of a run stands on: the recipe, its inputs and outputs, and a way to say how it goes.

    with Run.from_environment() as run:
        text = (run.input("text") / "data.txt").read_text()
        run.progress(0, len(text), "letters")
        ...
        run.metric(step, loss=loss)
        run.output("model").commit(folder, "Trained")
        run.result({"loss": loss})

Imports no more than the standard library, httpx and huggingface_hub, the latter when it is needed: a program's own libraries are
its own affair. Everything goes over HTTP with the run's own token, so it is the same on this host and on a cluster.
"""

from headwater.compute.program.run import Cancelled, OutputRepository, Run, RunFailed

__all__ = ["Cancelled", "OutputRepository", "Run", "RunFailed"]
