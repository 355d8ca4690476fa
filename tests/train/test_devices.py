"""Training on two devices: two processes on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).resolve().parents[1]
# Lightning starts the script once more for the second device.
SCRIPT = """
import json, os, sys
import lightning, numpy as np, scvi, torch
from lightning.pytorch.callbacks import Callback
from factories import make_counts, make_model
from scsalient import StandardVAE

torch.set_num_threads(1)
scvi.settings.seed = 0


class Seen(Callback):
    def __init__(self):
        self.train, self.validation = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.train.append(batch[scvi.REGISTRY_KEYS.CONT_COVS_KEY].ravel().int().tolist())

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.validation.append(batch[scvi.REGISTRY_KEYS.CONT_COVS_KEY].ravel().int().tolist())


def train(model, n_epochs, **kwargs):
    seen = Seen()
    model.train(
        n_epochs, accelerator="cpu", enable_progress_bar=False, callbacks=[seen], **kwargs
    )
    return seen


DEVICES = {"devices": 2, "strategy": "ddp"}
adata = make_counts(101, 77)
adata.obs["number"] = np.arange(adata.n_obs, dtype=float)
setup = {"continuous_covariate_keys": ["number"]}

# The discriminator rests, batch normalisation has buffers, and batches are many and uneven.
resting = make_model(adata.copy(), setup=setup, tc_weight=0.0, use_batch_norm=True)
seen = train(resting, 1, batch_size=7, check_val_every_n_epoch=1, **DEVICES)

# A kind of cell that makes a fifth of the target and two thirds of the background
adata.obs["kind"] = np.isin(np.arange(adata.n_obs), [*range(20), *range(101, 152)]).astype(str)
balanced = make_model(adata.copy(), setup=setup)
drawn = train(balanced, 2, batch_size=7, balance_keys="kind", **DEVICES)

StandardVAE.setup_anndata(adata, **setup)
train(StandardVAE(adata, n_latent=2, n_hidden=8), 1, batch_size=16, **DEVICES)

adata.obs["number"] = adata.obs["number"] % 2
scvi.settings.seed = 0
model = make_model(adata, setup=setup)
train(model, 30, batch_size=16, check_val_every_n_epoch=1, **DEVICES)

rank = int(os.environ.get("LOCAL_RANK", 0))
found = {
    "train": seen.train,
    "validation": seen.validation,
    "balanced": drawn.train,
    "parameters": sum(p.detach().double().sum().item() for p in model.module.parameters()),
    "discriminator": sum(
        p.detach().double().abs().sum().item() for p in model.module.discriminator.parameters()
    ),
    "history": {k: v.iloc[-1, 0] for k, v in model.history.items()},
}
json.dump(found, open(f"{sys.argv[1]}/{rank}.json", "w"))
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    (folder / "script.py").write_text(SCRIPT)
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "script.py", str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_two_devices_share_the_cells_out(ranks):
    for kind, n_target, n_background in (("train", 90, 69), ("validation", 11, 8)):
        parts = [ranks[0][kind], ranks[1][kind]]
        assert len(parts[0]) == len(parts[1])
        cells = np.concatenate([cells for part in parts for cells in part])
        target, background = cells[cells < 101], cells[cells >= 101]
        assert sorted(target) == sorted(set(target))
        assert len(target) == n_target
        assert len(set(background)) == n_background


@pytest.mark.slow
def test_two_devices_draw_kinds_of_cells_in_the_same_shares(ranks):
    parts = [rank["balanced"] for rank in ranks]
    assert len(parts[0]) == len(parts[1])
    cells = np.concatenate([cells for part in parts for cells in part])
    target, background = cells[cells < 101], cells[cells >= 101]
    assert len(target) == 2 * 90
    # The geometric mean of a fifth and two thirds, as far as 90 and 69 cells allow it
    for of_kind in (target < 20, background < 152):
        assert of_kind.mean() == pytest.approx(0.41, abs=0.04)
    assert len(set(target)) > 0.8 * 90


@pytest.mark.slow
def test_two_devices_learn_the_same_as_one(ranks):
    import scvi

    from factories import QUIET, make_counts, make_model

    assert ranks[0]["parameters"] == ranks[1]["parameters"]
    scvi.settings.seed = 0
    adata = make_counts(101, 77)
    adata.obs["number"] = np.arange(adata.n_obs) % 2.0
    model = make_model(adata, setup={"continuous_covariate_keys": ["number"]})
    before = sum(p.detach().abs().sum().item() for p in model.module.discriminator.parameters())
    model.train(30, batch_size=32, check_val_every_n_epoch=1, **QUIET)
    assert ranks[0]["discriminator"] != pytest.approx(before)
    found, history = ranks[0]["history"], model.history
    assert set(found) == set(history)
    for mode in ("train", "validation"):
        name = f"elbo_{mode}"
        # Within noise: on one device, too, seeds differ by 7%
        assert found[name] == pytest.approx(history[name].iloc[-1, 0], rel=0.1)
    # Only the first device has a history.
    assert ranks[1]["history"] == {}
