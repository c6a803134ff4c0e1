"""`python -m microtome` is `microtome`: so `torchrun -m microtome` starts it in several processes."""

from microtome.cli import main

if __name__ == "__main__":
    main(prog_name="microtome")
