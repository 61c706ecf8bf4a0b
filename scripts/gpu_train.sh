#!/usr/bin/env bash
# Trains a codec for some minutes on a borrowed machine, and saves the run to continue elsewhere.
#
#   scripts/gpu_train.sh MINUTES --data CACHE --out FOLDER [--carry PART...]
#                        [--run-minutes MINUTES] [--device DEVICE] [-- FLAG...]
#
#   MINUTES         time limit, from its start to its last file
#   --data          a cache of recordings (`encodec-train prepare --pack-noise 45 ...`)
#   --out           gets the state in parts (`encodec-train carry`), log.jsonl and train.log,
#                   each below 15 MiB; earlier parts are replaced
#   --carry         the parts of a run to continue; without them a new run starts from the bundled
#                   weights, widened to full width
#   --run-minutes   training time of the whole run, over all machines; by default, a new run ends
#                   within MINUTES and a continued one keeps its limit
#   --device        auto, cpu, cuda or cuda:N
#   -- FLAG...      more flags of `encodec-train codec`
#
# On Ctrl-C, SIGTERM or SIGHUP it saves and packs the run so far.
#
# It needs only torch, torchaudio, numpy, safetensors and tqdm. PYTHON names the interpreter
# (python3).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
NUMBER='^[0-9]+(\.[0-9]+)?$'

fail() {
  echo "gpu_train.sh: $1" >&2
  exit 2
}

encodec_train() { "${PYTHON:-python3}" -m model_core.training "$@"; }

# Seconds as minutes, 0 or more, for flags in minutes.
minutes() { awk "BEGIN { print ($1 > 0 ? $1 : 0) / 60 }"; }

main() {
  local total=$1 data=$2 out=$3 run_minutes=$4 device=$5
  local seconds begin end status=0 run=$work/run
  seconds=$(awk "BEGIN { print int(60 * $total) }")
  # The time reserved before the first step, and from the last step to the last file.
  begin=$((seconds / 8 < 15 ? seconds / 8 : 15))
  end=$((seconds / 4 < 40 ? seconds / 4 : 40))
  mkdir -p "$run"

  local flags=(--preset gpu)
  if ((${#carry[@]})); then
    encodec_train carry unpack "${carry[@]}" "$run"
    flags=()
  elif [[ -z $run_minutes ]]; then
    run_minutes=$(minutes $((seconds - SECONDS - begin - end)))
    run_minutes=$(awk "BEGIN { print ($run_minutes > 0.01 ? $run_minutes : 0.01) }")
  fi
  [[ -z $run_minutes ]] || flags+=(--minutes "$run_minutes")

  local left=$((seconds - SECONDS - end))
  ((left > 0)) || left=1
  # It stops by itself; otherwise a signal makes it save, and a second one kills it.
  timeout --preserve-status --kill-after=15 $((left + end / 2)) \
    "${PYTHON:-python3}" -m model_core.training codec "$data" "$run" --device "$device" \
    --stop-after "$(minutes "$left")" "${flags[@]}" "${extra[@]}" &
  training=$!
  [[ -z $told ]] || kill "$training"
  while :; do # a signal to this script ends `wait`, but not yet the training
    status=0
    wait "$training" || status=$?
    kill -0 "$training" 2>/dev/null || break
  done
  ((status == 0)) || echo "gpu_train.sh: training ended with status $status"

  for file in log.jsonl settings.json; do
    [[ ! -f $run/$file ]] || cp "$run/$file" "$out/"
  done
  if [[ -f $run/state.pt ]]; then
    encodec_train carry pack "$run" "$work/parts"
    rm -f "$out"/carry-*
    mv "$work"/parts/* "$out/"
  fi
  echo "gpu_train.sh: $SECONDS of $seconds s; in $out:"
  (cd "$out" && ls -l)
  return "$status"
}

[[ ${1:-} != -h && ${1:-} != --help ]] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0; }
total=${1:-} data='' out='' run_minutes='' device=auto carry=() extra=()
[[ $total =~ $NUMBER ]] || fail 'the first argument is the time limit in minutes (--help)'
awk "BEGIN { exit !($total >= 0.1) }" || fail 'it needs at least 0.1 minutes'
shift
while (($#)); do
  option=$1
  shift
  case $option in
    --data | --out | --run-minutes | --device)
      (($#)) || fail "$option wants a value"
      case $option in
        --data) data=$1 ;;
        --out) out=$1 ;;
        --run-minutes) run_minutes=$1 ;;
        --device) device=$1 ;;
      esac
      shift
      ;;
    --carry)
      while (($#)) && [[ $1 != --* ]]; do
        carry+=("$1")
        shift
      done
      ((${#carry[@]})) || fail '--carry wants the parts of a run'
      ;;
    --)
      extra=("$@")
      break
      ;;
    *) fail "there is no option $option (--help)" ;;
  esac
done
[[ -n $data && -n $out ]] || fail '--data and --out are needed (--help)'
[[ -z $run_minutes || $run_minutes =~ $NUMBER ]] || fail "--run-minutes is not a number: $run_minutes"

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
told='' training=''
trap 'told=yes; [[ -z $training ]] || kill "$training" 2>/dev/null || true' INT TERM HUP
exec > >(trap '' INT TERM HUP && exec tee "$out/train.log") 2>&1
main "$total" "$data" "$out" "$run_minutes" "$device"
