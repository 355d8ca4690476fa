"""Training plans and the runner."""

from scsalient.train._checkpoint import ResumableCheckpoint
from scsalient.train._contrastive_plan import ContrastiveTrainingPlan
from scsalient.train._plan import VAETrainingPlan
from scsalient.train._plan_arguments import check_plan_arguments
from scsalient.train._runner import InterruptibleTrainRunner, check_trainer_arguments
from scsalient.train._silhouette import SilhouetteMonitor

__all__ = [
    "ContrastiveTrainingPlan",
    "InterruptibleTrainRunner",
    "ResumableCheckpoint",
    "SilhouetteMonitor",
    "VAETrainingPlan",
    "check_plan_arguments",
    "check_trainer_arguments",
]
