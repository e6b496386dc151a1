"""A Ray cluster on this machine: two nodes of one CPU each, one of which may be killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
#: A node that is gone is missed within seconds.
_WATCHFUL = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 10,
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are processes of their own, and must find what the tests make them do."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """The cluster; it takes seconds to start, so all tests share it."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "_system_config": _WATCHFUL})
        yield cluster
        cluster.shutdown()


@pytest.fixture
def two_nodes(ray_cluster: Any) -> Any:
    """The cluster with both its nodes there."""
    if not ray_cluster.worker_nodes:
        ray_cluster.add_node(**_NODE)
    return ray_cluster
