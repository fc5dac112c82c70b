"""Multi-task text models from one ``params.yaml``: data, augmentation, joint training, evidence."""

__version__ = "0.1.0"
