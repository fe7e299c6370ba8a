"""edge-ecg: serial bytes to beat labels on a Raspberry Pi. Research software, not a medical device.

Importing this package loads numpy at most; the interpreter loads when a pipeline is built.
"""

__version__ = "0.1.0"
