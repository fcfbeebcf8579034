"""Messages from a worker thread to the reader of a stream."""

import asyncio
from contextlib import aclosing

import pytest

from zfscope.server.services.stream import MessageQueue


@pytest.fixture
async def work() -> "asyncio.Future[None]":
    """The work that sends the messages; not done yet."""
    return asyncio.get_running_loop().create_future()


@pytest.fixture
async def messages() -> MessageQueue[int]:
    return MessageQueue()


async def read(messages: MessageQueue[int], work: "asyncio.Future[None]") -> list[int]:
    return [message async for message in messages.read_until(work)]


async def test_only_the_newest_of_several_unawaited_messages_is_read(
    messages: MessageQueue[int], work: "asyncio.Future[None]"
) -> None:
    for number in (1, 2, 3):
        assert not messages.reader_waiting
        messages.put(number)
    await asyncio.sleep(0)
    work.set_result(None)
    assert await read(messages, work) == [3]


async def test_an_awaited_message_is_read_before_the_newest(
    messages: MessageQueue[int], work: "asyncio.Future[None]"
) -> None:
    reading = asyncio.create_task(read(messages, work))
    await asyncio.sleep(0)
    assert messages.reader_waiting
    for number in (1, 2, 3):
        messages.put(number)
        assert not messages.reader_waiting
    work.set_result(None)
    assert await reading == [1, 3]


async def test_messages_can_be_put_from_any_thread(
    messages: MessageQueue[int], work: "asyncio.Future[None]"
) -> None:
    async with aclosing(messages.read_until(work)) as stream:
        for number in (1, 2):
            following = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            assert messages.reader_waiting
            await asyncio.to_thread(messages.put, number)
            assert await following == number
            assert not messages.reader_waiting


async def test_a_cancelled_reader_cancels_the_work(
    messages: MessageQueue[int], work: "asyncio.Future[None]"
) -> None:
    reading = asyncio.create_task(read(messages, work))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not messages.reader_waiting
    assert work.cancelled()


async def test_the_stream_ends_when_the_work_is_done(
    messages: MessageQueue[int], work: "asyncio.Future[None]"
) -> None:
    reading = asyncio.create_task(read(messages, work))
    await asyncio.sleep(0)
    work.set_result(None)
    assert await reading == []
