"""The command `fastmix`: one module a command. Heavy imports happen inside the command that needs them."""
