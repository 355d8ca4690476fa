"""Figures."""

from scsalient.pl._denoised import denoised
from scsalient.pl._image_grid import image_grid
from scsalient.pl._salient import salient
from scsalient.pl._sweep import sweep
from scsalient.pl._training import training
from scsalient.pl._trials import trials

__all__ = ["denoised", "image_grid", "salient", "sweep", "training", "trials"]
