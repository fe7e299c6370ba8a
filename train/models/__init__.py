"""The networks. TensorFlow reads these variables when it is first imported, which a network's `build` may do."""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
