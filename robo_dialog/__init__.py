"""Success detection for robot episodes; the parts are imported by name, so that a robot needs none it does not use.

`robo_dialog.detect` gives verdicts (local or over gRPC), `robo_dialog.tune` measures, calibrates and exports,
`robo_dialog.vlm` is what the rest asks of a model, `robo_dialog.pretrain` makes the embedded one.
"""
