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
torchserve --start --ncs --foreground --model-store "$archives" --ts-config "$archives/torchserve.properties" &
# The first process of a container gets no signal that it does not ask for, and TorchServe's asks for none.
trap 'torchserve --stop' TERM INT
wait "$!" || wait "$!"
