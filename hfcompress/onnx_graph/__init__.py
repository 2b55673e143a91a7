"""What an ONNX graph holds, read from the file."""
