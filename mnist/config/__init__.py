"""What a run is, and how it is read: ``load`` a YAML file, and get a ``Config``.

``schema`` says which keys there are, ``reading`` makes a config of YAML and ``--set``,
``former`` knows the keys of earlier versions, and ``complaints`` says what is wrong.
"""

from mnist.config.reading import default as default
from mnist.config.reading import from_dict as from_dict
from mnist.config.reading import load as load
from mnist.config.reading import to_yaml as to_yaml
from mnist.config.schema import CHOICES as CHOICES
from mnist.config.schema import FREE_ON_RESUME as FREE_ON_RESUME
from mnist.config.schema import AugmentationConfig as AugmentationConfig
from mnist.config.schema import Config as Config
from mnist.config.schema import ConvNetConfig as ConvNetConfig
from mnist.config.schema import DataConfig as DataConfig
from mnist.config.schema import DeviceConfig as DeviceConfig
from mnist.config.schema import EmbeddingConfig as EmbeddingConfig
from mnist.config.schema import FcConfig as FcConfig
from mnist.config.schema import Lenet5Config as Lenet5Config
from mnist.config.schema import LenetConfig as LenetConfig
from mnist.config.schema import LoaderConfig as LoaderConfig
from mnist.config.schema import LogConfig as LogConfig
from mnist.config.schema import ModelConfig as ModelConfig
from mnist.config.schema import OptimizerConfig as OptimizerConfig
from mnist.config.schema import PiecewiseSchedule as PiecewiseSchedule
from mnist.config.schema import PolynomialSchedule as PolynomialSchedule
from mnist.config.schema import changes_the_run as changes_the_run
from mnist.config.schema import differences as differences
from mnist.config.schema import dotted as dotted
from mnist.config.schema import flatten as flatten
from mnist.config.schema import sections_in as sections_in
