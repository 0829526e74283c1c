"""`fastmix completion`: scripts that teach a shell the commands and options."""

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the completion script of a shell.

    bash: fastmix completion bash > ~/.local/share/bash-completion/completions/fastmix

    zsh: fastmix completion zsh > a directory of $fpath, as _fastmix

    fish: fastmix completion fish > ~/.config/fish/completions/fastmix.fish

    Parameters
    ----------
    shell
        The shell to write for.
    """
    from fastmix.cli.app import app

    print(app.generate_completion(shell=shell))
