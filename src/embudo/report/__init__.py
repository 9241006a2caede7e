"""Pictures of what a model learnt: Displays that compute once and draw as often as wanted, and pages.

The names below are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embudo.report.anomaly import AnomalyScoreDisplay
    from embudo.report.codes import CodeDisplay, MapDisplay
    from embudo.report.curves import PCAComparisonDisplay, RobustnessDisplay, TrainingDisplay
    from embudo.report.images import DenoisingDisplay, RateDistortionDisplay
    from embudo.report.page import Report
    from embudo.report.reconstruction import ReconstructionDisplay
    from embudo.report.units import FilterDisplay, HierarchyDisplay, TraversalDisplay

_HOMES = {
    "AnomalyScoreDisplay": "anomaly",
    "CodeDisplay": "codes",
    "DenoisingDisplay": "images",
    "FilterDisplay": "units",
    "HierarchyDisplay": "units",
    "MapDisplay": "codes",
    "PCAComparisonDisplay": "curves",
    "RateDistortionDisplay": "images",
    "ReconstructionDisplay": "reconstruction",
    "Report": "page",
    "RobustnessDisplay": "curves",
    "TrainingDisplay": "curves",
    "TraversalDisplay": "units",
}

__all__ = [
    "AnomalyScoreDisplay",
    "CodeDisplay",
    "DenoisingDisplay",
    "FilterDisplay",
    "HierarchyDisplay",
    "MapDisplay",
    "PCAComparisonDisplay",
    "RateDistortionDisplay",
    "ReconstructionDisplay",
    "Report",
    "RobustnessDisplay",
    "TrainingDisplay",
    "TraversalDisplay",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'embudo.report' has no attribute {name!r}")
    value = getattr(import_module(f"embudo.report.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
