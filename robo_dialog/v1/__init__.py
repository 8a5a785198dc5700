"""Generated protobuf and gRPC code of `protos/robo_dialog/v1`; `python protos/generate.py` writes it anew."""
