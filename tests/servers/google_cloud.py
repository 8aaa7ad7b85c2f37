"""A local server that speaks the gRPC contract of Cloud Scheduler and Cloud Run, for what recon asks of them.

Its messages are those of Google's own client libraries; what it does with them is what the documentation
of `PauseJob`, `ResumeJob`, `UpdateWorkerPool` and `UpdateService` says: a mask names the fields that change.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.cloud import run_v2, scheduler_v1
from google.longrunning import operations_pb2
from google.protobuf import any_pb2

SCHEDULER = "google.cloud.scheduler.v1.CloudScheduler"
SERVICES = "google.cloud.run.v2.Services"
POOLS = "google.cloud.run.v2.WorkerPools"


@dataclass
class Cloud:
    """The server's state by resource name."""

    port: int = 0
    jobs: dict[str, scheduler_v1.Job] = field(default_factory=dict)
    pools: dict[str, run_v2.WorkerPool] = field(default_factory=dict)
    services: dict[str, run_v2.Service] = field(default_factory=dict)

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.port}"


@contextmanager
def google_cloud() -> Iterator[Cloud]:
    """A server on a free port."""
    cloud = Cloud()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    handlers = {
        SCHEDULER: {
            "GetJob": _unary(scheduler_v1.GetJobRequest, lambda r, c: _found(cloud.jobs, r.name, c)),
            "PauseJob": _unary(scheduler_v1.PauseJobRequest, lambda r, c: _switched(cloud, r.name, "PAUSED", c)),
            "ResumeJob": _unary(scheduler_v1.ResumeJobRequest, lambda r, c: _switched(cloud, r.name, "ENABLED", c)),
        },
        POOLS: {
            "GetWorkerPool": _unary(run_v2.GetWorkerPoolRequest, lambda r, c: _found(cloud.pools, r.name, c)),
            "UpdateWorkerPool": _unary(
                run_v2.UpdateWorkerPoolRequest, lambda r, c: _updated(cloud.pools, r.worker_pool, r.update_mask, c)
            ),
        },
        SERVICES: {
            "GetService": _unary(run_v2.GetServiceRequest, lambda r, c: _found(cloud.services, r.name, c)),
            "UpdateService": _unary(
                run_v2.UpdateServiceRequest, lambda r, c: _updated(cloud.services, r.service, r.update_mask, c)
            ),
        },
    }
    for service, methods in handlers.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    cloud.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield cloud
    finally:
        server.stop(None)


def _unary(request, answer):
    def serialize(message):
        return type(message).serialize(message) if hasattr(type(message), "serialize") else message.SerializeToString()

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request.deserialize, response_serializer=serialize
    )


def _found(among, name, context):
    if name not in among:
        context.abort(grpc.StatusCode.NOT_FOUND, f"{name} does not exist")
    return among[name]


def _switched(cloud, name, state, context):
    job = _found(cloud.jobs, name, context)
    if job.state == scheduler_v1.Job.State[state]:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{name} is {state} already")
    job.state = state
    return job


def _updated(among, given, mask, context):
    there = _found(among, given.name, context)
    mask.MergeMessage(type(given).pb(given), type(there).pb(there), replace_message_field=True)
    answer = any_pb2.Any()
    answer.Pack(type(there).pb(there))
    return operations_pb2.Operation(name="operations/1", done=True, response=answer)
