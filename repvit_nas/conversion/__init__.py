"""Room: torch modules as ONNX and Core ML programs, by one converter. Imports `network`."""
