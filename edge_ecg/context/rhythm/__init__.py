"""Which rhythm a patient is in, from labelled beats: states, runs and pauses."""
