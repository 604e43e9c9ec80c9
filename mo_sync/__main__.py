"""``python -m mo_sync`` is ``mo-sync``."""

from mo_sync.cli.main import main

if __name__ == "__main__":
    main()
