"""Importers: one file a format; each turns what others timed into the same records."""
