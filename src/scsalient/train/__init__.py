"""Training plans and the runner."""

from scsalient.train._checkpoint import ResumableCheckpoint
from scsalient.train._plans import ContrastiveTrainingPlan, VAETrainingPlan
from scsalient.train._runner import InterruptibleTrainRunner

__all__ = [
    "ContrastiveTrainingPlan",
    "InterruptibleTrainRunner",
    "ResumableCheckpoint",
    "VAETrainingPlan",
]
