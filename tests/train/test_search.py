"""A search over settings with scvi-tools and Ray."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# In a process of its own: Ray starts others, and leaves them behind where it ends badly.
SCRIPT = """
import sys
import ray
from factories import make_counts
from ray import tune
from scsalient import ContrastiveVAE
from scvi.autotune import run_autotune

adata = make_counts()
ContrastiveVAE.setup_anndata(adata, "condition", "control")
ray.init(num_cpus=1, include_dashboard=False)
for metric, mode in (("silhouette_validation", "max"), ("elbo_validation", "min")):
    found = run_autotune(
        ContrastiveVAE,
        adata,
        metrics=metric,
        mode=mode,
        search_space={
            "model_params": {"n_salient_latent": tune.grid_search([1, 2])},
            "train_params": {
                "max_epochs": 2, "accelerator": "cpu", "silhouette_key": "response"
            },
        },
        num_samples=1,
        searcher="random",
        scheduler="fifo",
        seed=0,
        resources={"cpu": 1},
        logging_dir=sys.argv[1],
        ignore_reinit_error=True,
    )
    assert len(found.result_grid) == 2, found.result_grid
    assert not found.result_grid.errors, found.result_grid.errors
    assert all(metric in result.metrics for result in found.result_grid)
    found.result_grid.get_best_result(metric, mode)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("ray", "hyperopt", "scib_metrics"))),
    reason="the extra `tune` is not installed",
)
def test_both_metrics_can_be_searched_for(tmp_path):
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
