"""Figures."""

from scsalient.pl._salient import salient
from scsalient.pl._training import training
from scsalient.pl._trials import trials

__all__ = ["salient", "training", "trials"]
