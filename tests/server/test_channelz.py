"""grpc.channelz.v1: an optional service that exposes connections."""

from collections.abc import Callable, Sequence

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.server.conftest import RunningService
from zfscope.server.settings import Settings


def test_channelz_is_off_by_default(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channelz_pb2_grpc.ChannelzStub(channel).GetServers(channelz_pb2.GetServersRequest())

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "grpc.channelz.v1.Channelz" not in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_channelz_exposes_the_server_its_calls_and_its_sockets(
    settings: Settings, make_service: Callable[[Settings], RunningService]
) -> None:
    service = make_service(settings.model_copy(update={"channelz": True}))
    with grpc.insecure_channel(service.address) as channel:
        stub = channelz_pb2_grpc.ChannelzStub(channel)
        this_server = [
            server for server in servers(stub) if int(service.address.split(":")[1]) in ports(stub, server)
        ]

        assert [server.data.calls_started >= 1 for server in this_server] == [True]
        assert "grpc.channelz.v1.Channelz" in ProtoReflectionDescriptorDatabase(channel).get_services()


def servers(stub: channelz_pb2_grpc.ChannelzStub) -> Sequence[channelz_pb2.Server]:
    """Return the gRPC servers of this process; other tests may have started more."""
    return stub.GetServers(channelz_pb2.GetServersRequest()).server


def ports(stub: channelz_pb2_grpc.ChannelzStub, server: channelz_pb2.Server) -> set[int]:
    """Return the local ports of the connections of a server."""
    request = channelz_pb2.GetServerSocketsRequest(server_id=server.ref.server_id)
    sockets = [
        stub.GetSocket(channelz_pb2.GetSocketRequest(socket_id=socket.socket_id)).socket
        for socket in stub.GetServerSockets(request).socket_ref
    ]
    return {socket.local.tcpip_address.port for socket in sockets}
