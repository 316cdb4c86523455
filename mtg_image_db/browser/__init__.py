"""The index for a web page: int8 vectors, metadata, and the model as ONNX."""
