"""The image operations of StyleGAN2: FIR resampling, bias + activation, and the epilogue of a modulated convolution.

On the CPU they are plain PyTorch; on a GPU, CUDA kernels that are built in the background on first use, with the same
PyTorch code serving until they are ready. Importing this package builds nothing. It knows nothing of networks.
"""

from .ops import bias_act, demod_bias_act, upfirdn2d
from .resample import downsample2d, filter2d, setup_filter, upsample2d

__all__ = [
    "bias_act",
    "demod_bias_act",
    "downsample2d",
    "filter2d",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
