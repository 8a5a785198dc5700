"""The Open Inference Protocol: generated from protos/robo_dialog/kserve."""
