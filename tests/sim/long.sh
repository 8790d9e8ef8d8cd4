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
        "$sim" --nodes "$nodes" --seed "$seed" --seeds 50 || found=1
    done
    "$sim" --nodes 3 --copies 2 --seed "$seed" --seeds 50 || found=1
    "$sim" --nodes 4 --copies 3 --seed "$seed" --seeds 50 || found=1
    for copies in 1 2 3; do
        "$sim" --nodes 3 --copies "$copies" --peace --seed "$seed" --seeds 20 || found=1
    done
    seed=$((seed + 200))
done
exit $found
