"""What the scripts of the struck runs say: they wait where the fault is to strike."""

# Waits at the phase's gate between its two marks, in memory as the marks are.
GATE = "while [[ -e {gates}/$N2W_PHASE ]]; do sleep 0.02; done"
# before puts down who it is; an after that begins while before itself still acts leaves a file.
WHO = "echo $$ >{gates}/before.pid"
LOOK = """
if read -r pid <{gates}/before.pid && read -r stat </proc/$pid/stat; then
  stat=${{stat##*) }}
  [[ $stat == [ZX]* ]] || touch {gates}/overlap
fi 2>/dev/null"""
