"""The image operations of StyleGAN2 and 3: FIR resampling, bias + activation, the epilogue of a modulated
convolution, and the rectifier between two samplings.

On the CPU they are plain PyTorch; on a GPU, CUDA kernels that are built in the background on first use, with the same
PyTorch code serving until they are ready. Importing this package builds nothing. It knows nothing of networks.
"""

from .ops import bias_act, demod_bias_act, filtered_lrelu, upfirdn2d
from .resample import downsample2d, filter2d, setup_filter, upsample2d

__all__ = [
    "bias_act",
    "demod_bias_act",
    "downsample2d",
    "filter2d",
    "filtered_lrelu",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
