"""`fastmix drill`: does something bad to a real node under load, and says what came of it.

Every module of this folder is a drill, and `fastmix drill list` finds it by that: one more drill is one more file. It has

- `NAME`, such as `kill-data-plane` (its file is `kill_data_plane.py`), and `HELP`, one line;
- `run(options: Options) -> Report`. `Options` and `Report` are in `stage/report.py`: `options.short` asks for the form of a few
  seconds, `options.rounds` for so many rounds (None: as many as the form has), `options.seed` for what is drawn
  (`options.random()`), `options.progress(share, what)` is told how far it is.

The stage (`stage/`) is what drills share. One node, executed as `fastmix run` does it, stands between 64 neighbours that send to
it and 20 that it sends to, which are the drill's process itself: real Sphinx packets, real links, real sockets on loopback.

    def run(options: Options) -> Report:
        return repeated_while_void(NAME, options, Scene(...), perform)

    def perform(stage: Stage) -> Outcome:
        with stage.flow() as flow:      # half of the node's capacity, which the stage has measured before `perform`
            flow.run(0.7)               # sends and receives for so many seconds; between two calls the drill acts
            ...
            flow.finish()               # nothing more is sent; returns when all that can come has come
        return Outcome(figures={"kills": 50}, checks={"nothing left twice": flow.doubled == 0})

- `Scene` (`stage/scene.py`) says how the node is configured: `mean_delay`, `max_latency`, `slot`, `early`, `late`, `workers`,
  `strict_kx`, `chain` ("memory", "disk"), `key_s` (for so many seconds of full capacity a key's replay set has room, beyond
  5,000 packets/s of its life).
- `repeated_while_void(name, options, scene, perform)` opens the stage, measures the capacity and performs; a run in which the
  kernel has dropped datagrams, at the node or at the sink, is void and repeated, three times at most. It makes the `Report`:
  passed if every check of the outcome holds, the node's counters add up exactly, and no run but the last was void.
- `stage.node`: `pids()`, `data_pid()`, `control_pid()`, `metrics()`, `state_dir`, `log_path`. `stage.kill_node()` ends all its
  processes by SIGKILL and gives what it said just before, `stage.waiting()` what had not come to it yet; `stage.start_node()`
  starts the next one over the same files and waits until it is ready.
- `stage.neighbours`: `sources`, 64 sockets connected to the node, and `upstreams`, the sending ends of their links.
- `stage.packets`: `headers(slots)` builds packets, one for each slot number of `slots`: `Packets` of `headers` u8[n, 188],
  `onward` u8[n, 32] (the `kx_public` by which the sink knows them) and `key_slots` u8[n]. `slots_at(unix_ns, n)` draws slots as
  clients do. `frames(packets, upstream)` seals them for one link: u8[n, F], with fresh counters each time, so the same packets
  may be sealed and sent again.
- `stage.flow(rate=None, copies=1, seal=None, history_s=12, recorded_s=0)`: `rate` is of distinct packets a second. With `copies`
  each burst of 16 packets leaves so many times, at once, each by a link and a socket of its own; `seal` makes their frames in
  another way. Packets are known for `history_s`, their frames kept for `recorded_s`. Call `run` often: while it does not run,
  nothing is sent, and the sink is not read; `stage.start_node(lambda: flow.run(0.02))` goes on with it until the node is ready.
- `flow.send(packets, expected=False)` sends packets once more, or others, beside the flow, at once; `expected`: they have not
  been sent before, and are looked for as the flow's own are; it gives the wave that they are.
- `flow.rest()` sends what has been begun and nothing more until `run`; with `stage.settle()` behind it and another `rest`,
  nothing is on its way any more. `flow.send_again(packets, rate)` and `flow.send_frames(frames, rate)` replay at a rate.
- `flow.waves`, newest first, are the last seconds of what was sent: each has `packets`, and of each packet `due_ns` and
  `arrived_ns` (monotonic; 0: not yet). `flow.sent` and `flow.refused` (by the kernel) count frames; `flow.expected` distinct
  packets, and after `finish` `flow.arrived` and `flow.lost` of them; `flow.received` frames at the sink, and of them
  `flow.doubled` (second of its kind), `flow.unknown` (of no packet of the last seconds), `flow.bad` (wrong seal).
- `stage/kills.py` is what drills that kill share: the kill of the data plane, how long until packets go on, what was lost between
  two moments, packets from before a kill, tags in the replay sets. What the kernel drops while no node is there makes no run
  void: `stage.forgive_drops()`.
"""
