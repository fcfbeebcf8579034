"""grpc.channelz.v1: the process's connections, told where that is wanted."""

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
        ours = [
            server for server in servers(stub) if int(service.address.split(":")[1]) in ports(stub, server)
        ]

        assert [server.data.calls_started >= 1 for server in ours] == [True]
        assert "grpc.channelz.v1.Channelz" in ProtoReflectionDescriptorDatabase(channel).get_services()


def servers(stub: channelz_pb2_grpc.ChannelzStub) -> Sequence[channelz_pb2.Server]:
    """The servers of this process, of which there may be several."""
    return stub.GetServers(channelz_pb2.GetServersRequest()).server


def ports(stub: channelz_pb2_grpc.ChannelzStub, server: channelz_pb2.Server) -> set[int]:
    """The ports of a server's end of its connections."""
    asked = channelz_pb2.GetServerSocketsRequest(server_id=server.ref.server_id)
    found = [
        stub.GetSocket(channelz_pb2.GetSocketRequest(socket_id=socket.socket_id)).socket
        for socket in stub.GetServerSockets(asked).socket_ref
    ]
    return {socket.local.tcpip_address.port for socket in found}
