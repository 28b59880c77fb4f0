"""How the parts on scripts that run on instances are measured, in words for the page."""

from tests.bench.remote import holds, losses, over_ssm, place, steps

HOLDS = f"""\
Whole runs of one instance with {holds.VOLUMES} volumes, as in (a), with the same scripts and the same stamps: from
before's last statement to after's first one. The instance is this machine behind a real sshd on loopback, so the
distance is as short as it gets, and the simulated AWS answers as fast as it can: the worst case for the ratio, as
what the product itself adds does not grow with either. Sessions are opened, and scripts stand at their gates,
before the window opens.

*{holds.CALLS_SSH}*: before and after on the server are
`exec ssh instance script`, a new connection for each. *With ControlMaster*: the connection is there already, and `ssh`
speaks through it. They take turns with the rest in each round, in a shuffled order, the first in some of the rounds.

The floor is what no way by SSH can spare, each part measured by itself in the same round: a byte through a warm
connection to `cat` and back, CreateSnapshots in a warm boto3 client, and the byte again. Neither the end of before's
interpreter nor the start of after's is in it. With so fast a call, the start of a bash script is a third of the floor
and more, so a row without a goal has the ratio without it. A call to AWS itself takes many times longer, and is in
hold and floor alike."""

STEPS = f"""\
All of them run the same two scripts, of `/bin/sh` with one statement that tells a pipe that it has begun; ends are
heard by the same process on the same clock. *{steps.OURS}*: a carrier that holds an armed session, between the words
of the guard; a new window in each turn. *{steps.EXEC}*: a channel and a command on a session that stands, with
TCP_NODELAY. *{steps.SHARED}*: the same by OpenSSH. *{steps.COLD}*: a new connection. The rows with a goal leave out
what the same script takes locally, as it is in all of them: it is the way that differs. On it, a word of ours wakes
the carrier, sshd, the far side's reader, its loop, and the script's own process at its gate; exec makes a channel, and
sshd forks and executes a login shell. Who wants to know who began a thaw, and have it begin without us, needs that
loop between the reader and the gate.

{steps.TEN} instances are {steps.TEN} far sides on this machine, so they share its cores. The CPU for a word is that of
all carriers of {steps.HUNDRED} instances, {place.PER_CARRIER} each, from `go` until all are over, divided by the
words to and from instances: go, before, thaw, thawing, after and over of each."""

LOSSES = f"""\
From the loss to after's first statement. A carrier, or a guard with its carrier, is killed while its instance is
frozen; spool, journal and guard are as in a run. Silence and deadline: an instance is told `go`, and nothing more; it
thaws after {losses.SILENCE_SECONDS:g} s of silence, or by a deadline of {losses.DEADLINE_SECONDS:g} s that comes
before. The server that is gone for good is a carrier of {losses.GONE} instances that is stopped: its connections
stand, and nothing comes. Below zero is too early; the far side reads its clock in hundredths of a second."""

SSM = f"""\
Windows of one instance, between the carrier and the simulated SSM, whose agent really runs the commands. The delivery,
which AWS does not promise, is what the simulated SSM is told to wait before the agent starts a command: evenly drawn
between {over_ssm.DELIVERY_SECONDS[0]:g} and {over_ssm.DELIVERY_SECONDS[1]:g} s, and taken out of each figure. What is
left is the call, the arming of the scripts (before) or the way to them (after), and the time until the next look:
150 ms after the command was sent, then each 200 ms."""

GATES = """\
The processes on the instance, from the login's shell on, while both scripts wait at their gates; the memory is their
proportional set size. A bare shell is one without any program that waits for a line; the column has what it alone
keeps (`Private_Dirty`). Where so many bare shells take more than the goal, the far side cannot meet it with so many
processes, whatever its program: so it is with bash."""
