"""``python -m ffnn_xp``: the command line."""

from ffnn_xp.cli import main

if __name__ == "__main__":
    main()
