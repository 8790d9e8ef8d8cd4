#!/bin/sh
# New seeds until the minutes are over; what was found stands in the output, the code says whether.
sim=$1
minutes=${2:-10}
end=$(($(date +%s) + 60 * minutes))
seed=$(date +%s)
found=0
while [ "$(date +%s)" -lt "$end" ]; do
    "$sim" --seed "$seed" --seeds 200 || found=1
    seed=$((seed + 200))
done
exit $found
