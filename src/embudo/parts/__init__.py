"""Frozen values that an autoencoder is composed of."""
