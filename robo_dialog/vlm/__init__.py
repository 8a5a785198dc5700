"""Vision-language models behind one protocol: what they are asked (prompts) and how they answer (score, generate).

Nothing is imported here: the options of commands name models, and `--help` must not wait for numpy.
"""
