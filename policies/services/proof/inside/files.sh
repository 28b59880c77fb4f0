# shellcheck shell=bash disable=SC2154 # it follows common.sh
# Files without a server: what a recipe that freezes file systems or an application of one's own has left, and a program of
# the owner's that is started on them.

if [[ -n ${2:-} ]]; then
  code=0
  clock
  began=$now
  timeout "$N2W_PROOF_SECONDS" "$2" </dev/null >"$log" 2>&1 || code=$?
  clock
  ((code == 0)) || down "start_$N2W_POLICY ended with exit code $code"
  say "up $(((now - began) / 100)).$(printf %02d $(((now - began) % 100)))"
fi
fired=$(date -u -d "${N2W_FIRED_AT:-1970-01-01}" +%s) found='' younger=0
while IFS= read -r -d '' file; do
  while read -r word at; do
    found=${found:-0}
    [[ $word != "$mark" ]] || found=$((found + 1))
    [[ ! $at =~ ^[0-9]{1,12}$ ]] || ((at <= fired + 5)) || younger=$((younger + 1))
  done < <(tail -n 200 -- "$file")
done < <(find "$data" -maxdepth 3 -xdev -name n2wbackup_marks -type f -print0 2>/dev/null)
say_mark "$found" "$younger"
run_verify ''
finish
