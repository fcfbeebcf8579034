#!/bin/sh
# Makes archives of the models that are named, and has TorchServe serve them.
set -eu
archives=/tmp/archives
mkdir -p "$archives"
for model; do
    zfscope models export "$model" --format mar --out "$archives/$model.mar"
done
# The service is in another container; every other port stays inside this one.
sed -i 's/^grpc_inference_address=.*/grpc_inference_address=0.0.0.0/' "$archives/torchserve.properties"
exec torchserve --start --ncs --foreground --model-store "$archives" --ts-config "$archives/torchserve.properties"
