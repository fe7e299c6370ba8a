"""The serial link to an ADC board: bytes in, blocks of counts out. Knows nothing of hearts."""
