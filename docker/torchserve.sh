#!/bin/sh
# Exports archives of the models named on the command line and serves them with TorchServe.
set -eu
archives=/tmp/archives
mkdir -p "$archives"
for model; do
    zfscope models export "$model" --format mar --out "$archives/$model.mar"
done
# The service runs in another container and needs the gRPC port; all other ports stay private.
sed -i 's/^grpc_inference_address=.*/grpc_inference_address=0.0.0.0/' "$archives/torchserve.properties"
torchserve --start --ncs --foreground --model-store "$archives" --ts-config "$archives/torchserve.properties" &
# PID 1 of a container receives only signals that it handles, and TorchServe's launcher handles none.
trap 'torchserve --stop' TERM INT
wait "$!" || wait "$!"
