from .anomaly import AnomalyScoreDisplay as AnomalyScoreDisplay
from .codes import CodeDisplay as CodeDisplay
from .codes import MapDisplay as MapDisplay
from .curves import PCAComparisonDisplay as PCAComparisonDisplay
from .curves import RobustnessDisplay as RobustnessDisplay
from .curves import TrainingDisplay as TrainingDisplay
from .images import DenoisingDisplay as DenoisingDisplay
from .images import RateDistortionDisplay as RateDistortionDisplay
from .page import Report as Report
from .reconstruction import ReconstructionDisplay as ReconstructionDisplay
from .units import FilterDisplay as FilterDisplay
from .units import HierarchyDisplay as HierarchyDisplay
from .units import TraversalDisplay as TraversalDisplay

__all__: list[str]
