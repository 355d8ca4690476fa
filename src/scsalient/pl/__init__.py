"""Figures."""

from scsalient.pl._salient import salient
from scsalient.pl._training import training

__all__ = ["salient", "training"]
