"""Importing this imports what converting needs, once, for worker processes that share it."""

from repvit_nas.conversion.converter import coremltools

coremltools()
