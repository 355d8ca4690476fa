"""The paper's experiments (Abid and Zou 2019), figure by figure."""

from scsalient.experiments._celeba import celeba
from scsalient.experiments._grassy_mnist import grassy_mnist
from scsalient.experiments._rna_seq import rna_seq
from scsalient.experiments._sensitivity import sensitivity

__all__ = ["celeba", "grassy_mnist", "rna_seq", "sensitivity"]
