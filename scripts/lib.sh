# Shared by the scripts beside it; to be sourced. Sets $root and goes there.
called_from="$PWD"
script="$(cd "$(dirname "$0")" && pwd)/$(basename "$0")"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
build="$root/build/release"
cache="${ATELIER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/atelier}"

# build_release [TARGET...]: installs what is missing, configures and builds (everything without a target). Prints on standard error.
build_release() {
  "$root/scripts/install-deps"
  cmake --preset release >&2
  # Ninja alone would take two jobs more than there are cores; each may need 1.5 GB.
  cmake --build --preset release --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" ${1:+--target "$@"} >&2
}

# print_help: the comment at the head of the running script.
print_help() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$script"; }

# start_server DATA_DIR LOG [ARGUMENT...]: starts atelier-server on free loopback ports and waits until it accepts.
# Sets $server_pid, $grpc and $metrics (HOST:PORT); returns 1, with the end of its log, when it does not come up.
start_server() {
  local data="$1" log="$2" deadline=$((SECONDS + 60)) line=""
  shift 2
  "$build/bin/atelier-server" --data-dir "$data" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 "$@" >"$log.out" 2>"$log" &
  server_pid=$!
  while [[ -z "$line" ]]; do
    line="$(grep -m1 '^listening ' "$log.out" || true)"
    if [[ -z "$line" ]] && { ! kill -0 "$server_pid" 2>/dev/null || ((SECONDS > deadline)); }; then
      echo "atelier-server did not come up; the end of its log:" >&2
      tail -n 20 "$log" >&2
      return 1
    fi
    [[ -n "$line" ]] || sleep 0.05
  done
  grpc="$(sed -E 's/.* grpc=([^ ]+).*/\1/' <<<"$line")"
  metrics="$(sed -E 's/.* metrics=([^ ]+).*/\1/' <<<"$line")"
}

# stop_server: asks it to drain and waits for its end. Returns its exit code; 0 when none runs.
stop_server() {
  [[ -n "${server_pid:-}" ]] || return 0
  local pid="$server_pid"
  server_pid=""
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid"
}
