"""A Ray cluster of several nodes on this machine, for tests: ``python -m tests.servers.ray_cluster DASHBOARD_PORT N_WORKERS CPUS``.

The head runs nothing itself. A line ``kill NODE_ID`` on standard input takes a node away as a power cut would; the end of the input ends all.
Set before the start: RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 (it then listens on the loopback alone), RAY_AUTH_MODE, RAY_AUTH_TOKEN.
"""

from __future__ import annotations

import sys


def main(dashboard_port: int, n_workers: int, cpus: float) -> None:
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 0,
        "include_dashboard": True,
        "dashboard_host": "127.0.0.1",
        "dashboard_port": dashboard_port,
        "object_store_memory": 100 << 20,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    workers = [cluster.add_node(num_cpus=cpus, object_store_memory=100 << 20) for _ in range(n_workers)]
    cluster.wait_for_nodes()
    print("ready", *(node.node_id for node in workers), flush=True)
    for line in sys.stdin:
        word, _, which = line.strip().partition(" ")
        if word == "kill":
            node = next(each for each in workers if each.node_id == which)
            cluster.remove_node(node, allow_graceful=False)
            print("killed", which, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
