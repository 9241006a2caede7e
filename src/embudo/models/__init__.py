"""Estimators under scikit-learn's rules, and their files."""
