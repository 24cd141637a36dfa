#!/bin/sh
# Runs a command as rank 0 and rank 1 of 2, each in a network namespace of its own, with a pair of virtual cables between them. Ends with
# 77, and the reason, where this user may not make such namespaces.
#   two_networks.sh COMMAND ARGUMENT...
set -u
address_0=10.77.0.1
address_1=10.77.0.2

if [ "${ATELIER_INSIDE:-}" = "" ]; then
  for tool in unshare nsenter ip; do
    command -v "$tool" >/dev/null || { echo "skipped: there is no $tool" >&2; exit 77; }
  done
  unshare -Urn true 2>/dev/null || { echo "skipped: this user may not make network namespaces" >&2; exit 77; }
  ATELIER_INSIDE=1 exec unshare -Urn --kill-child --fork /bin/sh "$0" "$@"
fi

# This process's namespace is rank 0's; another process keeps rank 1's.
unshare -n sleep 600 &
keeper=$!
trap 'kill $keeper 2>/dev/null' EXIT
while [ "$(readlink /proc/$keeper/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do
  kill -0 $keeper || exit 1
done
in_1() { nsenter -t $keeper -n "$@"; }

ip link add rank0 type veth peer name rank1 2>/dev/null || { echo "skipped: no virtual cables here" >&2; exit 77; }
ip link set rank1 netns $keeper &&
  ip addr add $address_0/24 dev rank0 && ip link set rank0 up && ip link set lo up &&
  in_1 ip addr add $address_1/24 dev rank1 && in_1 ip link set rank1 up && in_1 ip link set lo up || exit 1

export WORLD_SIZE=2 MASTER_ADDR=$address_0 MASTER_PORT=29500 LOCAL_RANK=0 OMP_WAIT_POLICY=PASSIVE
RANK=1 nsenter -t $keeper -n "$@" &
rank_1=$!
RANK=0 "$@"
code_0=$?
wait $rank_1
code_1=$?
echo "rank 0 ended with $code_0"
echo "rank 1 ended with $code_1"
[ $code_0 = 0 ] && [ $code_1 = 0 ]
