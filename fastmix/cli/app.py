"""The commands and their one-line help. Each is imported only when it is called."""

from cyclopts import App, Parameter

from fastmix.cli.output import version

app = App(
    name="fastmix",
    help="A high-throughput mix-network node: batched Sphinx packets over UDP.",
    help_epilogue="Exit codes: 0 done, 1 failed, 2 wrong usage, file or value, 78 key store refused, 130 interrupted.",
    help_format="plaintext",
    version=version,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=()),
)

keys = App(name="keys", help="The mix keys of a running node, its encrypted identity, secret files and their public keys.")
keys.command("fastmix.cli.keys:new", name="new", help="Make new secret files.")
keys.command("fastmix.cli.keys:show", name="show", help="Show the public keys of secret files.")

STORE = "fastmix.cli.keys_store:"
keys.command(STORE + "init", name="init", help="Make a new identity and keep it in an encrypted store.")
keys.command(STORE + "export", name="export", help="Write an encrypted backup of a store; never a mix key.")
keys.command(STORE + "import_", name="import", help="Make a store from a backup.")
keys.command(STORE + "passwd", name="passwd", help="Change the passphrase of a store, or what keeps its key.")
keys.command(STORE + "verify", name="verify", help="Open a store or a backup and say whose it is.")
keys.command(STORE + "audit", name="audit", help="Verify the audit log of a store.")

NODE = "fastmix.cli.keys_node:"
keys.command(NODE + "list_", name="list", help="List the mix keys of a running node: slots, times, replay sets.")
keys.command(NODE + "rotate", name="rotate", help="Begin a new chain of mix keys on a running node, or burn them all.")
keys.command(NODE + "policy", name="policy", help="Show or change how often a running node rotates its keys.")
keys.command(NODE + "clock", name="clock", help="Show the clock that keys go by, or confirm a jump of the wall clock.")

network = App(name="network", help="Set up nodes of a network that forms itself, look at one, or make and read network files.")
HOME = "fastmix.cli.network_home:"
network.command(
    HOME + "init",
    name="init",
    help="Set up the first node of a network.",
    usage="Usage: fastmix network init [OPTIONS] [DIRECTORY]",
)
network.command(
    HOME + "join",
    name="join",
    help="Set up a node that joins a network.",
    usage="Usage: fastmix network join [OPTIONS] BOOTSTRAP [DIRECTORY]",
)
network.command(
    HOME + "token", name="token", help="Make a new token for who joins.", usage="Usage: fastmix network token [DIRECTORY]"
)
network.command(
    "fastmix.cli.network_show:show", name="show", help="Show the network that a running node is in.",
    usage="Usage: fastmix network show [OPTIONS] [NODE]",
)  # fmt: skip
network.command("fastmix.cli.network_new:new", name="new", help="Make a network: its file, all secrets, node configurations.")
network.command("fastmix.cli.network:check", name="check", help="Check a network file, and the secrets of one of its ends.")

bench = App(name="bench", help="Measure this machine: kernels, a node, the throughput table.")
bench.command("fastmix.cli.bench:kernels", name="kernels", help="Cycles a packet of every stage, beside libsodium.")
bench.command("fastmix.cli.bench:node", name="node", help="One node under load: capacity, latency, stages, overload.")
bench.command("fastmix.cli.bench:table", name="table", help="The throughput table: three configurations of a node.")
bench.command("fastmix.cli.bench:latency", name="latency", help="What a node adds at zero mixing delay.")
bench.command("fastmix.cli.bench:memory", name="memory", help="What a node holds while 10,000 messages wait in it.")

drill = App(name="drill", help="Do something bad to a node of a private network under load, and see what comes of it.")
drill.command("fastmix.cli.drill:list_", name="list", help="List the drills.")
drill.command("fastmix.cli.drill:run", name="run", help="Run a drill; exit code 0 only if it passed.")

tune = App(name="tune", help="Compare this machine with a profile, change it, put it back, or find a profile for it.")
tune.command("fastmix.cli.tune:list_", name="list", help="List the profiles.")
tune.command("fastmix.cli.tune:show", name="show", help="Show a profile: what it sets, what it wants of the host, and why.")
tune.command(
    "fastmix.cli.tune:check",
    name="check",
    help="Compare this host with a profile; exit code 1 if they differ.",
    usage="Usage: fastmix tune check [OPTIONS] [NAME]",  # here and below: by itself it would say [ARGS]
)
tune.command("fastmix.cli.tune:apply", name="apply", help="Set this host as a profile wants it, and record the old values.")
tune.command("fastmix.cli.tune:revert", name="revert", help="Put back the values that `apply` has recorded.")
tune.command("fastmix.cli.tune_auto:auto", name="auto", help="Measure this machine for a moment and propose a profile.")

app.command("fastmix.cli.demo:demo", name="demo", help="Run a whole mix network on this machine and send messages through it.")
app.command(
    "fastmix.cli.run:run",
    name="run",
    help="Run one node, from its configuration file or without one.",
    usage="Usage: fastmix run [OPTIONS] [CONFIG]",
)
app.command(
    "fastmix.cli.send:send",
    name="send",
    help="Send a file or a text to a client, through the mix network.",
    usage="Usage: fastmix send [OPTIONS] TO [FILE]",
)
app.command("fastmix.cli.listen:listen", name="listen", help="Print this client's address, and what others send to it.")
app.command(
    "fastmix.cli.ping:ping",
    name="ping",
    help="Send loops through the nodes of a network, and say how long they take.",
    usage="Usage: fastmix ping [OPTIONS] [NODES]",
)
app.command("fastmix.cli.status:status", name="status", help="Ask a running node how it is.")
app.command("fastmix.cli.health:health", name="health", help="Say what is wrong with a running node; exit code 1 if anything.")
app.command(bench)
app.command(drill)
app.command(keys)
app.command(network)
app.command(tune)
app.command(
    "fastmix.cli.doctor:doctor",
    name="doctor",
    help="Look this machine over: what it can do, what slows a node, remedies.",
    usage="Usage: fastmix doctor [OPTIONS] [CONFIG]",
)
app.command(
    "fastmix.cli.explain:explain",
    name="explain",
    help="Say what a verdict means, such as drop_mac.",
    usage="Usage: fastmix explain [OPTIONS] [VERDICT]",
)
app.command("fastmix.cli.completion:completion", name="completion", help="Print the completion script of a shell.")
