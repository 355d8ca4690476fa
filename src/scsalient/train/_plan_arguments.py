"""Which arguments a training plan takes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from scvi.train import TrainingPlan

from scsalient._arguments import check_names

if TYPE_CHECKING:
    from scsalient.train._plan import VAETrainingPlan

_KL_INSTEAD = "`kl_warmup` is the share of the training, from 0 to 1, over which KL terms reach 1."
_PLATEAU_INSTEAD = "Only `StandardVAE` lowers its learning rate on a plateau."
# What to take in place of arguments of scvi-tools' plan
_INSTEAD = {
    "n_epochs_kl_warmup": _KL_INSTEAD,
    "n_steps_kl_warmup": _KL_INSTEAD,
    "max_kl_weight": _KL_INSTEAD,
    "min_kl_weight": _KL_INSTEAD,
    "reduce_lr_on_plateau": _PLATEAU_INSTEAD,
    "lr_factor": _PLATEAU_INSTEAD,
    "lr_patience": _PLATEAU_INSTEAD,
    "lr_threshold": _PLATEAU_INSTEAD,
    "lr_scheduler_metric": _PLATEAU_INSTEAD,
    "lr_min": _PLATEAU_INSTEAD,
    "compile": "Compilation did not pay.",
}


def check_plan_arguments(plan: type[VAETrainingPlan], arguments: Any) -> None:
    """Check that a training plan has the arguments that are meant for it.

    scvi-tools' plan takes any name and passes over those that it does not know.

    Parameters
    ----------
    plan
        Class of the plan.
    arguments
        Arguments by name.

    Raises
    ------
    TypeError
        When there is an unknown one.
    ValueError
        When there is an optimiser that would not be used.
    """
    for name in arguments if isinstance(arguments, dict) else ():
        if name in plan.without_effect and name in _INSTEAD:
            msg = f"`plan_kwargs` has no `{name}` here. {_INSTEAD[name]}"
            raise TypeError(msg)
    known = {
        name: None
        for cls in plan.__mro__[: plan.__mro__.index(TrainingPlan) + 1]
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in plan.without_effect and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    check_names("plan_kwargs", arguments, known)
    if arguments.get("optimizer_creator") and arguments.get("optimizer") != "Custom":
        msg = (
            "`plan_kwargs` should have `optimizer='Custom'` beside `optimizer_creator`, found "
            f"{arguments.get('optimizer', 'Adam')!r}, which would be used instead."
        )
        raise ValueError(msg)
