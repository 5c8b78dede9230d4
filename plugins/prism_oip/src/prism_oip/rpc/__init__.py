"""gRPC: the messages of the protocol, and the server that speaks them.

``oip.proto`` is the protocol; ``oip_pb2`` is made from it. Only modules in here import grpc and protobuf,
and only when the server is opened; a runtime imports none of them.
"""
