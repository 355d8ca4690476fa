"""Simulated, drawn, bundled and downloaded data, each as AnnData."""

from scsalient.datasets._celeba import celeba
from scsalient.datasets._faces import faces
from scsalient.datasets._grassy_mnist import grassy_mnist
from scsalient.datasets._kang import kang_2018
from scsalient.datasets._pbmc import pbmc_response
from scsalient.datasets._simulate import simulate
from scsalient.datasets._zheng import zheng_2017

__all__ = [
    "celeba",
    "faces",
    "grassy_mnist",
    "kang_2018",
    "pbmc_response",
    "simulate",
    "zheng_2017",
]
