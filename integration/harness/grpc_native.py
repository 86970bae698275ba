"""A real gRPC server and client of bytes: methods by what they do, whatever the service is called."""

from concurrent import futures

import grpc




class Methods(grpc.GenericRpcHandler):
    """/any.Service/...: Echo, Split (a message a byte), Join, Each (both stream), Fail, Silent (no message, no status
    message), Meta (sends back the x- metadata as trailers)."""

    def service(self, call):
        name = call.method.rsplit("/", 1)[1]
        if name == "Echo":
            return grpc.unary_unary_rpc_method_handler(lambda message, _: message)
        if name == "Split":
            return grpc.unary_stream_rpc_method_handler(lambda message, _: (bytes([b]) for b in message))
        if name == "Join":
            return grpc.stream_unary_rpc_method_handler(lambda messages, _: b"".join(messages))
        if name == "Each":
            return grpc.stream_stream_rpc_method_handler(lambda messages, _: messages)
        if name == "Fail":
            return grpc.unary_unary_rpc_method_handler(self._fail)
        if name == "Meta":
            return grpc.unary_unary_rpc_method_handler(self._meta)
        return None  # UNIMPLEMENTED

    @staticmethod
    def _fail(message, context):
        context.abort(grpc.StatusCode.NOT_FOUND, message.decode())

    @staticmethod
    def _meta(message, context):
        context.set_trailing_metadata([(k, v) for k, v in context.invocation_metadata() if k.startswith("x-") and k.count("-") == 1])
        return message


class Server:
    """Listens on a free port of 127.0.0.1, cleartext HTTP/2."""

    def __init__(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        self.server.add_generic_rpc_handlers([Methods()])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.stop(None).wait()


class Caller:
    """Calls through a proxy; Echo and the others by name of method."""

    def __init__(self, address, service="pkg.Svc"):
        self.channel = grpc.insecure_channel("%s:%d" % tuple(address), options=[("grpc.enable_http_proxy", 0)])
        self.service = service

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.channel.close()

    def _path(self, name):
        return f"/{self.service}/{name}"

    def unary(self, name, message, **kwargs):
        return self.channel.unary_unary(self._path(name))(message, timeout=20, **kwargs)

    def with_call(self, name, message, **kwargs):
        return self.channel.unary_unary(self._path(name)).with_call(message, timeout=20, **kwargs)

    def server_stream(self, name, message):
        return list(self.channel.unary_stream(self._path(name))(message, timeout=20))

    def client_stream(self, name, messages):
        return self.channel.stream_unary(self._path(name))(iter(messages), timeout=20)

    def both_stream(self, name, messages):
        return list(self.channel.stream_stream(self._path(name))(iter(messages), timeout=20))

    def status(self, name, message):
        """(code, details) of a call that fails."""
        try:
            self.unary(name, message)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError(f"{name} did not fail")
