"""``python -m embudo``."""

from embudo.cli.main import main

if __name__ == "__main__":
    main()
