#!/bin/sh
# New seeds until the minutes are over; what was found stands in the output, the code says whether.
sim=$1
minutes=${2:-10}
end=$(($(date +%s) + 60 * minutes))
seed=$(date +%s)
found=0
while [ "$(date +%s)" -lt "$end" ]; do
    "$sim" --seed "$seed" --seeds 200 || found=1
    for nodes in 2 3 4 5; do
        "$sim-few" --nodes "$nodes" --seed "$seed" --seeds 200 || found=1
    done
    for many in "3 --copies 2" "4 --copies 3" "5 --copies 3"; do
        # shellcheck disable=SC2086
        "$sim-few" --nodes $many --seed "$seed" --seeds 200 || found=1
    done
    "$sim" --nodes 3 --copies 2 --seed "$seed" --seeds 10 || found=1
    for copies in 1 2 3; do
        "$sim" --nodes 3 --copies "$copies" --peace --seed "$seed" --seeds 20 || found=1
    done
    seed=$((seed + 200))
done
exit $found
