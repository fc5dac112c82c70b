"""A trained model for other programs: ONNX Runtime, transformers, or a folder that predicts by itself."""
