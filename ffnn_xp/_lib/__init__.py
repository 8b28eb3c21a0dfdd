"""Helpers that know nothing of networks.

- `typing`: array types and the letters of shapes.
- `errors`: exceptions, warnings, and helpers for their messages.
- `journal`, `digests`: checkpoints of long computations, and what tells one computation from another.
- `limits`: deadlines and Ctrl-C, which end a computation early.
- `progress`: progress bars, and the switch that shows them.
- `validation`: checks of arguments that several packages take.
- `expressions`: elementwise formulas as data, to be written in other languages.
- `tuning`: the declaration of tuned numbers.
- `text`: visible characters, tables in text and HTML.
- `atomic`: checks of files, and files that are written whole or not at all.
- `optional`: imports of optional libraries.
- `version`: the version of the library.
"""
