"""The HTTP service around a trained model: ``mtl serve``. It needs the extra ``serve``."""
