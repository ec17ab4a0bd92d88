"""From a training run to a bundle: ONNX graph, centres, thresholds. Needs the export extra."""
