from .apps.classification import AutoencoderClassifier as AutoencoderClassifier
from .apps.denoising import ImageDenoiser as ImageDenoiser
from .apps.detection import AnomalyDetector as AnomalyDetector
from .codec.image_codec import ImageCodec as ImageCodec
from .data.sources import stream as stream
from .models.autoencoder import Autoencoder as Autoencoder
from .models.bulk import BatchEncoder as BatchEncoder
from .models.persistence import load as load
from .models.presets import contractive_autoencoder as contractive_autoencoder
from .models.presets import deep_autoencoder as deep_autoencoder
from .models.presets import denoising_autoencoder as denoising_autoencoder
from .models.presets import k_sparse_autoencoder as k_sparse_autoencoder
from .models.presets import make_stack as make_stack
from .models.presets import map_autoencoder as map_autoencoder
from .models.presets import sparse_autoencoder as sparse_autoencoder
from .models.presets import undercomplete_autoencoder as undercomplete_autoencoder
from .models.stacked import StackedAutoencoder as StackedAutoencoder
from .parts.architectures import MLP as MLP
from .parts.architectures import ConvNet as ConvNet
from .parts.corruptions import GaussianNoise as GaussianNoise
from .parts.corruptions import MaskingNoise as MaskingNoise
from .parts.corruptions import SaltAndPepper as SaltAndPepper
from .parts.optimizers import SGD as SGD
from .parts.optimizers import Adam as Adam
from .parts.penalties import L1 as L1
from .parts.penalties import L2 as L2
from .parts.penalties import Contractive as Contractive
from .parts.penalties import KLSparsity as KLSparsity
from .parts.penalties import Neighbours as Neighbours
from .parts.sparsities import BatchTopK as BatchTopK
from .parts.sparsities import JumpReLU as JumpReLU
from .parts.sparsities import TopK as TopK
from .parts.training import Training as Training
from .report.page import Report as Report

__version__: str
__all__: list[str]
