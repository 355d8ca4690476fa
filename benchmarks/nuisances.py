"""What `evidence` and the salient latents make of groups that differ for other reasons.

Simulated counts of four cell types. In each case the target differs from the background by one
nuisance, without a response, and with one in half of its cells. All defaults, two salient
dimensions, one training for each seed, for which the data are drawn anew. With ``--kang`` also
cells of the Kang subset, from which cell types are cut.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from _common import CONTROL, QUIET, TREATED, kang_cells, parser, quiet, report
from anndata import AnnData
from scipy import sparse

import scsalient as sal
from scsalient.experiments._fitting import forget
from scsalient.experiments._trials import COLUMN_KEY, run_trials, trial_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


N_TYPES, N_DONORS = 4, 4
KANG, KANG_RANDOM, KANG_CUT = "Kang", "Kang, cells dropped at random", "Kang, types cut by 80%"
CUT = {TREATED: "CD14+ Monocytes", CONTROL: "B cells"}
RARE = [0.1, 0.3, 0.3, 0.3]
USUAL = [0.4, 0.2, 0.2, 0.2]
MISSING = [0.02, 0.38, 0.3, 0.3]
COMMON = [0.5, 0.02, 0.24, 0.24]


@dataclass(frozen=True)
class Case:
    """What differs between the groups, how it is registered, and what `evidence` is told."""

    name: str
    nuisance: dict[str, Any] = field(default_factory=dict)
    setup: dict[str, Any] = field(default_factory=dict)
    within: str | None = None
    balance_keys: str | None = None
    kang: str | None = None
    n_target: int = 600
    n_background: int = 600

    @property
    def effects(self) -> tuple[float, ...]:
        """Without a response and with one, or with that of real cells."""
        return (0.0, 1.0) if self.kang is None else (1.0,)

    def settings(self, *, effect: float, seed: int) -> dict[str, Any]:
        return asdict(self) | {"effect": effect, "seed": seed}


def cases(*, kang: bool = False) -> Iterator[Case]:
    """Every case, that without a nuisance first."""
    yield Case("nothing", within="depth")
    mix = {"types_target": RARE, "types_background": USUAL}
    yield Case("a cell type 10% and 40%", mix, within="cell_type")
    covariate = {"categorical_covariate_keys": ["cell_type"]}
    yield Case("the same, registered", mix, covariate, "cell_type")
    yield Case("the same, balanced", mix, within="cell_type", balance_keys="cell_type")
    extreme = {"types_target": MISSING, "types_background": COMMON}
    yield Case("cell types 2% and 50%, 38% and 2%", extreme, within="cell_type")
    yield Case("the same, balanced", extreme, within="cell_type", balance_keys="cell_type")
    yield Case("target of twice the depth", {"depth": 2.0}, within="depth")
    yield Case("the same, size factor", {"depth": 2.0}, {"size_factor_key": "depth"}, "depth")
    log_depth = {"continuous_covariate_keys": ["log_depth"]}
    yield Case("the same, log depth registered", {"depth": 2.0}, log_depth, "depth")
    donors = {"donors_target": [0.4, 0.4, 0.1, 0.1], "donors_background": [0.1, 0.1, 0.4, 0.4]}
    yield Case("donors of other shares", donors, within="donor")
    registered = {"batch_key": "donor"}
    yield Case("the same, registered", donors, registered, "donor")
    yield Case("the same, balanced", donors, within="donor", balance_keys="donor")
    yield Case("the same, both", donors, registered, "donor", "donor")
    yield Case("a programme of half the strength", {"programme": (0.5, 1.0)}, within="depth")
    yield Case("a programme of twice the strength", {"programme": (2.0, 1.0)}, within="depth")
    yield Case("one gene of many counts, five times", {"one_gene": 5.0}, within="depth")
    yield Case("60 target cells", within="depth", n_target=60, n_background=1000)
    yield Case("100 target cells", within="depth", n_target=100, n_background=5000)
    if not kang:
        return
    for which in (KANG, KANG_RANDOM, KANG_CUT):
        yield Case(which, within="cell_type", kang=which)
        if which != KANG_RANDOM:
            yield Case(
                f"{which}, balanced", within="cell_type", balance_keys="cell_type", kang=which
            )
    yield Case(f"{KANG_CUT}, registered", setup=covariate, within="cell_type", kang=KANG_CUT)


def simulate(settings: Mapping[str, Any], *, n_genes: int = 300) -> AnnData:
    """Negative binomial counts, with a response in half of the target cells."""
    rng = np.random.default_rng([settings["seed"], 1])
    nuisance = settings["nuisance"]
    n_target = settings["n_target"]
    n = n_target + settings["n_background"]
    is_target = np.arange(n) < n_target

    def drawn(name: str, n_kinds: int) -> np.ndarray:
        even = np.full(n_kinds, 1 / n_kinds)
        of_target, of_background = (
            rng.choice(n_kinds, n, p=nuisance.get(f"{name}_{role}", even))
            for role in ("target", "background")
        )
        return np.where(is_target, of_target, of_background)

    def direction(share: float = 0.1) -> np.ndarray:
        return rng.normal(size=n_genes) * (rng.random(n_genes) < share)

    cell_type, donor = drawn("types", N_TYPES), drawn("donors", N_DONORS)
    log_rate = 1.2 * rng.normal(size=n_genes) + 0.7 * rng.normal(size=(N_TYPES, n_genes))[cell_type]
    log_rate += 0.3 * rng.normal(size=(n, 2)) @ rng.normal(size=(2, n_genes))
    if "donors_target" in nuisance:
        log_rate += 0.3 * rng.normal(size=(N_DONORS, n_genes))[donor]
    of_target, of_background = nuisance.get("programme", (0.0, 0.0))
    programme = np.where(rng.random(n) < 0.5, 0, rng.uniform(0.5, 1.5, n))
    programme *= np.where(is_target, of_target, of_background)
    log_rate += programme[:, None] * direction()
    responds = is_target & (rng.random(n) < 0.5)
    strength = settings["effect"] * responds * rng.uniform(0.7, 1.3, n)
    log_rate += strength[:, None] * np.sign(direction()) * rng.uniform(0.5, 1.5, n_genes)
    share = np.exp(log_rate)
    share /= share.sum(1, keepdims=True)
    total = 2000 * np.exp(0.3 * rng.normal(size=n))
    total *= np.where(is_target, nuisance.get("depth", 1.0), 1.0)
    mean = total[:, None] * share
    if "one_gene" in nuisance:
        much = (rng.random(n) < 0.3) * rng.lognormal(0, 1, n) * 0.3 * total
        mean[:, 0] += much * np.where(is_target, nuisance["one_gene"], 1.0)
    counts = rng.poisson(mean * rng.gamma(5.0, 1 / 5.0, mean.shape)).astype(np.float32)
    depth = counts.sum(1)
    obs = {
        "condition": np.where(is_target, TREATED, CONTROL),
        "response": np.where(responds, "yes", "no"),
        "cell_type": pd.Categorical(cell_type.astype(str)),
        "donor": pd.Categorical(donor.astype(str)),
        "depth": depth,
        "log_depth": np.log(depth),
    }
    index = pd.RangeIndex(n).astype(str)
    return AnnData(sparse.csr_matrix(counts), obs=pd.DataFrame(obs, index=index))


def of_kang(settings: Mapping[str, Any], path: Path) -> AnnData:
    """Both samples of a donor against untreated cells of another, as they are or fewer."""
    adata = kang_cells(path, "ctrl101", "stim101", "ctrl107")
    adata.obs["response"] = np.where(adata.obs["group_id"] == "stim", "yes", "no")
    adata.obs["cell_type"] = adata.obs["cluster_id"].astype(str).astype("category")
    if settings["kang"] == KANG:
        return adata
    rng = np.random.default_rng([settings["seed"], 7])
    dropped = np.zeros(adata.n_obs, dtype=bool)
    for role, cell_type in CUT.items():
        in_role = adata.obs["condition"] == role
        cells = np.flatnonzero(in_role & (adata.obs["cell_type"] == cell_type))
        n = int(0.8 * len(cells))
        if settings["kang"] == KANG_RANDOM:
            cells = np.flatnonzero(in_role)
        dropped[rng.choice(cells, n, replace=False)] = True
    return adata[~dropped].copy()


def trial(
    settings: Mapping[str, Any],
    *,
    accelerator: str,
    kang: Path | None,
) -> dict[str, Any]:
    """Train on the data of a seed and look."""
    torch.set_num_threads(1)
    if kang is None or settings["kang"] is None:
        adata = simulate(settings, n_genes=settings["n_genes"])
    else:
        adata = of_kang(settings, kang)
    sal.ContrastiveVAE.setup_anndata(adata, "condition", CONTROL, **settings["setup"])
    model = sal.ContrastiveVAE(adata, n_salient_latent=2)
    model.train(
        settings["max_epochs"],
        balance_keys=settings["balance_keys"],
        accelerator=accelerator,
        **QUIET,
    )
    plain, within = model.evidence(), model.evidence(within=settings["within"])
    target = (adata.obs["condition"] == TREATED).to_numpy()
    latent = model.get_latent_representation(indices=target)
    forget(model)
    labels = adata.obs.loc[target, "response"]
    return {
        "found": float(plain.found),
        "found within": float(within.found),
        "silhouette": sal.metrics.silhouette(latent, labels) if settings["effect"] else np.nan,
    }


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--kang", type=Path, help="file of the Kang subset")
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--n-jobs", type=int, default=1)
    arguments.add_argument("--trials-csv", type=Path, help="table of the trials, to go on with")
    arguments = arguments.parse_args()
    quiet()
    chosen = list(cases(kang=arguments.kang is not None))
    sizes: dict[str, Any] = {"n_genes": 300, "max_epochs": None}
    if arguments.dry_run:
        arguments.seeds, chosen = 1, chosen[:2]
        sizes = {"n_genes": 20, "max_epochs": 1}
    with tempfile.TemporaryDirectory() as folder:
        csv = arguments.trials_csv or Path(folder) / "trials.csv"
        trials = [
            (case, effect, case.settings(effect=effect, seed=seed) | sizes)
            for case in chosen
            for effect in case.effects
            for seed in range(arguments.seeds)
        ]
        done = run_trials(
            functools.partial(
                trial,
                accelerator=arguments.accelerator,
                kang=arguments.kang,
            ),
            [settings for _, _, settings in trials],
            csv=csv,
            n_jobs=arguments.n_jobs,
        ).table.set_index(COLUMN_KEY)
    rows = []
    for case in chosen:
        row: dict[str, Any] = {"the target differs by": case.name, "within": case.within}
        for effect in case.effects:
            name = "response" if effect else "no response"
            keys = [trial_key(s) for c, e, s in trials if c is case and e == effect]
            few = done.loc[keys]
            for column in ("found", "found within"):
                row[f"{name}: {column}"] = f"{int(few[column].sum())} of {len(few)}"
        silhouettes = few["silhouette"]
        row["silhouette"] = f"{silhouettes.min():.2f} / {silhouettes.median():.2f}"
        rows.append(row)
    report("nuisances", rows, arguments, settings={"seeds": arguments.seeds})


if __name__ == "__main__":
    main()
