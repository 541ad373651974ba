"""The compiled inner loops: arrays in, arrays out, the caller allocates.

Every kernel takes its settings as arguments and its memory as arrays that it updates, so a stream
can be cut into chunks anywhere. None touches a clock, a file or a socket, and numba refuses one
that allocates (`sections.jit`). The caller (`pipeline.signal.segmenter`) validates and casts, so
that each kernel is compiled for one signature.

Signal in mV. The codes are those of `pipeline.signal.quality.Reason` and the flags those of
`pipeline.schema.messages`, repeated in the modules, which import nothing but each other; a test
compares them.
"""

from pipeline.signal.kernels.cache import use_private_cache

use_private_cache()  # before any module declares the first kernel
