"""Helpers without any mathematics of networks: error texts, text tables, files, checks, types."""
