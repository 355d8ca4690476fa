"""The paper's settings and the project's own, each under a name."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from scsalient.model import CELL_DEFAULTS, ContrastiveVAE, StandardVAE

PAPER = "paper"
DEFAULT = "default"


@dataclass(frozen=True)
class Preset:
    """Arguments of the models and of their training.

    Attributes
    ----------
    model
        Arguments of :class:`~scsalient.ContrastiveVAE`; those that
        :class:`~scsalient.StandardVAE` knows are its arguments too.
    train
        Arguments of ``train``.
    """

    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Every plain argument of the contrastive model, those left at their default too.

        They go into the table of trials, so that a default that moves is a trial not yet run.
        Defaults are those for cells, which experiments on images change.
        """
        parameters = inspect.signature(ContrastiveVAE).parameters
        defaults = {
            name: parameter.default
            for name, parameter in parameters.items()
            if isinstance(parameter.default, bool | int | float | str)
        }
        return {**defaults, **CELL_DEFAULTS, **self.model, **changes}

    def contrastive(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the contrastive model among the settings of a trial."""
        return _known(ContrastiveVAE, settings)

    def standard(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the standard VAE among the settings of a trial."""
        return _known(StandardVAE, settings)


PRESETS = {
    # Paper sec. 4.2, app. C and E. It tells no length of training: ours is taken for both. Squared
    # error is a Gaussian of fixed variance, and nothing is held out, warmed up or averaged.
    PAPER: Preset(
        model={
            "n_hidden": 128,
            "n_layers": 1,
            "n_layers_encoder": 1,
            "use_layer_norm": False,
            "likelihood": "gaussian",
            "gaussian_variance": "fixed",
            "decoder": "joint",
            "use_bias": True,
            "discriminator": "logistic",
            "tc_weight": 1.0,
            "mmd_weight": 0.0,
            "background_salient_weight": 0.0,
            "transplant_weight": 0.0,
        },
        train={
            "batch_size": 128,
            "train_size": 1.0,
            "plan_kwargs": {"lr": 1e-3, "kl_warmup": 0.0, "weight_averaging": 0.0},
        },
    ),
    DEFAULT: Preset(),
}


def _known(model: type, settings: dict[str, Any]) -> dict[str, Any]:
    names = set(inspect.signature(model).parameters) - {"adata", "registry"}
    return {name: value for name, value in settings.items() if name in names}
