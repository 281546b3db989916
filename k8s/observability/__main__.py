"""Write the dashboards anew: `python -m k8s.observability`."""

from __future__ import annotations

from k8s.observability.boards import BOARDS, FOLDER, written


def main() -> None:
    """One file for each."""
    FOLDER.mkdir(exist_ok=True)
    for name in BOARDS:
        (FOLDER / f"{name}.json").write_text(written(name), "utf-8")


if __name__ == "__main__":
    main()
