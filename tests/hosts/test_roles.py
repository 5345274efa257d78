"""How many of a host's processes do jobs."""

from __future__ import annotations

import pytest

from headwater import queue
from tests.conftest import wait_for
from tests.operation.reading import Scrape


@pytest.mark.parametrize(("n", "names"), [(0, {"upkeep"}), (2, {"queue", "queue-2"})])
def test_a_host_does_jobs_with_as_many_processes_as_it_is_told(new_app, n, names):
    app = new_app(env={"HEADWATER_QUEUE_WORKERS": str(n)}, workers=1)

    def running() -> bool:
        seen = Scrape(app.url).families["headwater_process_resident_bytes"].samples
        return {sample.labels["process"] for sample in seen} == {"parent", "web-1", *names}

    wait_for(running, what="its processes")
    api = app.hf("ada")
    api.create_repo("ada/m")
    api.upload_file(path_or_fileobj=b"# A card", path_in_repo="README.md", repo_id="ada/m")
    with app.opened() as site:
        if n:
            wait_for(lambda: site.db.read(queue.count_by_state) == {}, what="the jobs")
        else:
            assert site.db.read(queue.count_by_state)["waiting"] >= 1
