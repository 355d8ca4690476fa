"""Networks: encoders, decoder and discriminator."""

from scsalient.nn._conv import CONV_STRIDE, ConvDecoder, ConvEncoder
from scsalient.nn._covariates import Covariates
from scsalient.nn._dense import DenseDecoder, DenseEncoder
from scsalient.nn._discriminator import build_discriminator

__all__ = [
    "CONV_STRIDE",
    "ConvDecoder",
    "ConvEncoder",
    "Covariates",
    "DenseDecoder",
    "DenseEncoder",
    "build_discriminator",
]
