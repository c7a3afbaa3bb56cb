#!/usr/bin/env bash
# A cluster on this machine: Redis and N silos, each with an HTTP gateway, the first one's at a known address. Ctrl+C stops everything.
#
#   deploy/local/up.sh [N] [-- OPTIONS OF THE SILO]     N: 1 to 16, default 3
#
# Environment:
#   GRANARY_SILO           a built Granary.Silo.dll; without it the silo is built first
#   GRANARY_URL            where the first silo listens; default http://127.0.0.1:8080
#   GRANARY_START_SECONDS  longest wait for readiness; default 600: models may have to be imported first
# Exit status: 0 after Ctrl+C or SIGTERM, 2 for wrong arguments or missing programs, otherwise that of a silo that ended while the
# cluster started, or of the last that ended by itself; 3 where the build has no genuine Orleans packages.
set -uo pipefail

count=3
if [ $# -gt 0 ] && [ "$1" != -- ]; then
    count=$1
    shift
fi
[ "${1:-}" = -- ] && shift
if ! [[ $count =~ ^([1-9]|1[0-6])$ ]]; then
    echo "There are '$count' silos; there must be 1 to 16." >&2
    exit 2
fi

url=${GRANARY_URL:-http://127.0.0.1:8080}
limit=${GRANARY_START_SECONDS:-600}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for program in redis-server redis-cli dotnet; do
    if ! command -v "$program" > /dev/null; then
        [ "$program" = dotnet ] && hint="see https://dot.net" || hint="on Debian: apt-get install redis-server"
        echo "$program is not on the path; $hint." >&2
        exit 2
    fi
done

folder=$(mktemp -d "${TMPDIR:-/tmp}/granary-local-XXXXXX")
silos=()
redis=

# SIGTERM lets a silo end its sequences and leave the cluster; who has not ended after 40 seconds is killed. Redis goes last.
stop() {
    trap '' INT TERM
    local pid
    for pid in "${silos[@]}"; do kill -TERM "$pid" 2> /dev/null; done
    for ((i = 0; i < 400; i++)); do
        local running=0
        for pid in "${silos[@]}"; do kill -0 "$pid" 2> /dev/null && running=1; done
        [ $running -eq 0 ] && break
        sleep 0.1
    done
    for pid in "${silos[@]}"; do kill -KILL "$pid" 2> /dev/null; done
    [ -n "$redis" ] && kill -TERM "$redis" 2> /dev/null
    wait
    rm -rf "$folder"
}
trap 'stop; exit 0' INT TERM

# free_port: one of loopback that nothing listens on and that was not given out before.
given=" "
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        [[ $given == *" $port "* ]] && continue
        (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null && continue
        given+="$port "
        REPLY=$port
        return
    done
}

# status_of HOST PORT PATH: the status of a GET.
status_of() {
    (
        exec 3<> "/dev/tcp/$1/$2" || exit
        printf 'GET %s HTTP/1.0\r\n\r\n' "$3" >&3
        read -r -t 5 _ status _ <&3
        echo "$status"
    ) 2> /dev/null
}

# fail STATUS: what the silo said last, then everything is stopped.
fail() {
    local lines=20
    [ "$1" -eq 3 ] && lines=1
    tail -n $lines "$2" >&2
    stop
    exit "$1"
}

silo=${GRANARY_SILO:-$root/artifacts/bin/Granary.Silo/release/Granary.Silo.dll}
if [ -z "${GRANARY_SILO:-}" ] && ! dotnet build -c Release "$root/silo" -v quiet --nologo > "$folder/build.log"; then
    fail 1 "$folder/build.log"
fi

free_port
redis_port=$REPLY
redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$folder" --save "" --appendonly no > "$folder/redis.log" 2>&1 &
redis=$!
until [ "$(redis-cli -p "$redis_port" ping 2> /dev/null)" = PONG ]; do
    kill -0 "$redis" 2> /dev/null || fail 1 "$folder/redis.log"
    sleep 0.05
done
echo "Redis: 127.0.0.1:$redis_port"

head -c 32 /dev/urandom | base64 > "$folder/secret" # The folder is the user's alone.
urls=()
threads=$(($(nproc) / count))
[ "$threads" -eq 0 ] && threads=1
for ((n = 1; n <= count; n++)); do
    free_port
    silo_port=$REPLY
    free_port
    gateway_port=$REPLY
    if [ "$n" -eq 1 ]; then
        listen=$url
    else
        free_port
        listen=http://127.0.0.1:$REPLY
    fi
    urls+=("$listen")
    Granary__Cluster__Redis=127.0.0.1:$redis_port Granary__Cluster__ClusterId=local-$$ Granary__Cluster__SiloName=silo-$n \
        Granary__Cluster__Address=127.0.0.1 Granary__Cluster__SiloPort=$silo_port Granary__Cluster__GatewayPort=$gateway_port \
        Granary__Links__Endpoint=unix:$folder/links-$n Granary__Links__SecretFile=$folder/secret \
        Granary__Cores=$threads \
        dotnet "$silo" --urls "$listen" --threads "$threads" "$@" > "$folder/silo-$n.log" 2>&1 &
    silos+=($!)
done

address=${url#http://}
address=${address%%/*}
host=${address%:*}
port=${address##*:}
started=$SECONDS
until [ "$(status_of "$host" "$port" /health/ready)" = 200 ]; do
    for n in "${!silos[@]}"; do
        kill -0 "${silos[$n]}" 2> /dev/null && continue
        wait "${silos[$n]}"
        fail $? "$folder/silo-$((n + 1)).log"
    done
    if [ $((SECONDS - started)) -ge "$limit" ]; then
        echo "Not ready after $limit seconds." >&2
        fail 1 "$folder/silo-1.log"
    fi
    sleep 0.2
done
echo "Ready: ${urls[*]} (logs in $folder; Ctrl+C stops them)"

# A silo that ends by itself is told of and the others go on: that is what a cluster is for.
while wait -n -p ended "${silos[@]}"; status=$?; [ -n "${ended:-}" ]; do
    for n in "${!silos[@]}"; do
        [ "${silos[$n]}" = "$ended" ] || continue
        unset "silos[$n]"
        [ $status -eq 0 ] && status=1
        [ ${#silos[@]} -eq 0 ] && fail $status "$folder/silo-$((n + 1)).log"
        echo "silo-$((n + 1)) ended with $status, ${#silos[@]} go on; it said last:" >&2
        tail -n 5 "$folder/silo-$((n + 1)).log" >&2
    done
done
