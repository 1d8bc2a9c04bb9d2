"""Importing this imports what converting needs, once, for worker processes that share it."""

import gc

from repvit_nas.export.coreml import coremltools

coremltools()
# A collection in a worker would write into every object that is here, and so copy it.
gc.collect()
gc.freeze()
