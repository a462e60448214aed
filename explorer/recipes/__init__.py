"""How each model that comes with the program is made and measured.

`gan` (StyleGAN2, with `dormancy`, `vision` and `matching`), `encoder`, `clip` (its texts in `captions`, its pictures in
`styles` and `pairs`, its figures in `zeroshot`), `judge`; and what `measure generator` (`quality`) and `measure
expansion` (`figures`) print. The only package that knows cats. Knows no interface.
"""
