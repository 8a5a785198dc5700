"""From dialogs and labels to a better detector: fine-tuning, metrics, calibration, export."""
