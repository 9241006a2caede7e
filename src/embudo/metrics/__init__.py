"""Measures of reconstructions and codes, each defined once."""
