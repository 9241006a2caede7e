"""Torch modules; nothing here knows of estimators or training."""
