"""What the program uses of its libraries without a promise from them: a new version that drops one is named here.

Each is kept because it pays; the line says for what.
"""

from __future__ import annotations

from importlib import import_module

import pytest

PRIVATE = {
    "torch.cpu:_is_avx512_bf16_supported": "bf16 where the CPU multiplies in it (networks/hardware.py)",
    "torch.cpu:_is_amx_tile_supported": "bf16 where the CPU multiplies in it (networks/hardware.py)",
    "torch:ops.mkldnn._is_mkldnn_bf16_supported": "weights packed once (engine/synthesis.py)",
    "torch:ops.mkldnn._reorder_convolution_weight": "weights packed once (engine/synthesis.py, denoiser.py)",
    "torch:ops.mkldnn._reorder_convolution_transpose_weight": "weights packed once (engine/synthesis.py)",
    "torch:ops.mkldnn._convolution_pointwise": "convolutions with packed weights (engine/synthesis.py, denoiser.py)",
    "torch:ops.mkldnn._convolution_pointwise.binary": "convolutions with a sum behind (engine/denoiser.py)",
    "torch:ops.mkldnn._convolution_transpose_pointwise": "convolutions with packed weights (engine/synthesis.py)",
    "torch._dynamo:config.recompile_limit": "one compiled form a resolution and width (networks/fuse.py)",
    "torch:_C._dispatch_has_kernel_for_dispatch_key": "whether a build of the kernels arrived (kernels/build.py)",
    "gradio.context:Context.id": "the same numbers of parts in a page built anew (ui/shelf.py)",
    "gradio.context:LocalContext.event_id": "work that nobody waits for ends (ui/api.py)",
    "gradio.context:LocalContext.blocks": "work that nobody waits for ends (ui/api.py)",
    "gradio.routes:App": "the page behind our guard (ui/serve.py)",
    "gradio.routes:ORJSONResponse": "the page behind our guard (ui/serve.py)",
    "gradio.events:api": "endpoints without a button (ui/api.py)",
}


@pytest.mark.parametrize("path", PRIVATE)
def test_private_parts_of_libraries_are_there(path: str) -> None:
    module, _, names = path.partition(":")
    found = import_module(module)
    for name in names.split("."):
        assert hasattr(found, name), f"{path} is gone, which we need for: {PRIVATE[path]}"
        found = getattr(found, name)
