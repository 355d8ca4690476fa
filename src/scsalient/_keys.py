"""Every name that the package reads from or writes to AnnData, and every name in a minibatch.

Glossary. Two latents describe a cell, and their names are the same everywhere:

``s``, *salient*
    What only target cells have. Zero for background cells by construction.
``z``, *background*
    What target and background cells share (cell type, donor, batch). The paper (Abid and Zou
    2019) calls it irrelevant.
"""

from __future__ import annotations

from typing import Final

# .obsm
OBSM_SALIENT: Final = "X_cvae_salient"
OBSM_BACKGROUND: Final = "X_cvae_background"
OBSM_VAE: Final = "X_vae"
OBSM_CPCA: Final = "X_cpca"

# .uns
UNS_CVAE: Final = "cvae"
UNS_CPCA: Final = "cpca"
UNS_TRUTH: Final = "truth"
UNS_IMAGE: Final = "image"

# .varm
VARM_CPCA: Final = "cPCs"

# .layers, .obs and .var of the data sets with known truth
LAYER_COUNTS: Final = "counts"
OBS_CONDITION: Final = "condition"
OBS_CELL_TYPE: Final = "cell_type"
OBS_BATCH: Final = "batch"
OBS_SAMPLE: Final = "sample"
OBS_STAGE: Final = "stage"
OBS_BARCODE: Final = "barcode"
OBS_RESPONSE: Final = "response"
OBS_STRENGTH: Final = "response_strength"
VAR_RESPONSE: Final = "response_gene"
VAR_RESPONSE_LFC: Final = "response_lfc"
VAR_BATCH: Final = "batch_gene"
VAR_BATCH_LFC: Final = "batch_lfc"
OBSM_TRUE_SALIENT: Final = "true_salient"
OBSM_TRUE_BACKGROUND: Final = "true_background"

# .obs, .var and .layers of images
OBS_LABEL: Final = "label"
OBS_DIGIT: Final = "digit"
VAR_PIXEL: Final = ("row", "column", "channel")
LAYER_CLEAN: Final = "clean"

# .obs of drawn faces
OBS_ACCESSORY: Final = "accessory"
OBS_ACCESSORY_STYLE: Final = "accessory_style"
OBS_SKIN: Final = "skin"
OBS_SKIN_TONE: Final = "skin_tone"
OBS_BACKDROP: Final = "backdrop"
OBS_POSE: Final = "pose"
OBS_TURN: Final = "turn"
OBS_TILT: Final = "tilt"
OBS_SHIFT_X: Final = "shift_x"
OBS_SHIFT_Y: Final = "shift_y"
OBS_HEAD_SCALE: Final = "head_scale"
OBS_HAIR_STYLE: Final = "hair_style"
OBS_HAIR_COLOUR: Final = "hair_colour"
OBS_EXPRESSION: Final = "expression"

# .obs of generated cells
OBS_ROLE: Final = "role"

# Minibatch tensors beside those of scvi.REGISTRY_KEYS
TENSOR_ROLE: Final = "role"
TENSOR_GROUPS: Final = "groups"
TENSOR_BRANCHES: Final = "branches"
