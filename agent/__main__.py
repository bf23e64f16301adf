"""``python -m agent`` is ``fieldgate``."""

from agent.cli import main

if __name__ == "__main__":
    main()
