"""Photos in, arrays and frozen dataclasses out: reading, metadata, detection, segmentation, crops, edge maps.

Knows neither Django nor the networks of modelzoo. Image convention: RGB uint8, H×W×3; boxes are pixel `xyxy` in the
upright image. Heavy libraries (ultralytics, rembg, onnxruntime) are imported by the engines that need them, when made.
"""
