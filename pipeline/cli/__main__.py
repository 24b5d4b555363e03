"""`python -m pipeline.cli` is `foreframe`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
