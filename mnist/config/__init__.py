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
from mnist.config.schema import Config as Config
from mnist.config.schema import changes as changes
from mnist.config.schema import changes_the_run as changes_the_run
from mnist.config.schema import differences as differences
from mnist.config.schema import flatten as flatten
