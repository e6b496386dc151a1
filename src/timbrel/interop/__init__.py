"""Checkpoints that others published, made ours: `timbrel import`.

A family says how to recognise a file by the names of its tensors and what to rename; `containers` reads
files without running what lies in them; `importing` checks every name and shape against our network and
writes a checkpoint that says where it came from.
"""

from __future__ import annotations

#: Module of each family, whose `FAMILY` it is. Their modules import torch, so they are imported when needed.
FAMILIES = {
    "autovc": "timbrel.interop.families.autovc",
    "simple-autovc": "timbrel.interop.families.simple_autovc",
    "autovc-speaker-encoder": "timbrel.interop.families.d_vector",
    "gru-embedder": "timbrel.interop.families.gru_embedder",
    "convgru-embedder": "timbrel.interop.families.convgru_embedder",
    "resemblyzer": "timbrel.interop.families.resemblyzer",
    "hifigan": "timbrel.interop.families.hifigan",
    "simple-autovc-hifigan": "timbrel.interop.families.simple_autovc_hifigan",
    "knn-vc-hifigan": "timbrel.interop.families.knn_vc_hifigan",
    "vocgan": "timbrel.interop.families.vocgan",
    "vocos": "timbrel.interop.families.vocos",
    "vqvc": "timbrel.interop.families.vqvc",
    "wavlm": "timbrel.interop.families.wavlm",
}
