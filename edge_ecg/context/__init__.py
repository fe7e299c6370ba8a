"""What a beat is against the patient's own past: rhythm, shapes, P wave. Pure; one code for device and training."""
