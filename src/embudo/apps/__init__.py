"""Estimators for a purpose, made of autoencoders."""
