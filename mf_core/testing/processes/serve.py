"""The other end of a shared process: calls what it is sent until the socket is closed."""

from __future__ import annotations

from multiprocessing.connection import Connection


def serve(socket: int) -> None:
    """Answer pickled ``(function, arguments)`` by ``(True, result)`` or ``(False, why it failed)``.

    Args:
        socket: The number of an open socket.
    """
    import pickle

    from ...errors import describe

    connection = Connection(socket)
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        try:
            function, arguments = pickle.loads(message)
            answer = (True, function(*arguments))
        except Exception as error:
            answer = (False, describe(error))
        connection.send(answer)
