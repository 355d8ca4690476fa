"""Networks: encoders, decoder and discriminator."""

from scsalient.nn._covariates import Covariates
from scsalient.nn._dense import DenseDecoder, DenseEncoder
from scsalient.nn._discriminator import build_discriminator

__all__ = ["Covariates", "DenseDecoder", "DenseEncoder", "build_discriminator"]
