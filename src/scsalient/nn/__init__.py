"""Networks: encoders, decoder and discriminator."""

from scsalient.nn._additive import AdditiveDecoder
from scsalient.nn._branches import Branches
from scsalient.nn._conv import CONV_STRIDE, ConvDecoder, ConvEncoder
from scsalient.nn._covariates import Covariates
from scsalient.nn._dense import DenseDecoder, DenseEncoder, encode_together
from scsalient.nn._discriminator import build_discriminator
from scsalient.nn._precision import at_least_single, full_precision

__all__ = [
    "CONV_STRIDE",
    "AdditiveDecoder",
    "Branches",
    "ConvDecoder",
    "ConvEncoder",
    "Covariates",
    "DenseDecoder",
    "DenseEncoder",
    "at_least_single",
    "build_discriminator",
    "encode_together",
    "full_precision",
]
