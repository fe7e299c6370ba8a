"""What a model costs on a device, and whether it says there what it should: `edge-ecg bench run` and `bench report`."""
