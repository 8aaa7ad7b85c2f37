"""A stand-in for Dataflow's REST service that really runs what a Flex Template would: the image's entry point."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from google.cloud.dataflow_v1beta3 import LaunchFlexTemplateRequest

_MAIN = "from jobs.launched import main; main()"


class DataflowServer(ThreadingHTTPServer):
    """Launches each job as a process of its own, and tells how it is.

    `requests` are the bodies of the launches, checked against Google's own schema.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[LaunchFlexTemplateRequest] = []
        self.jobs: dict[str, subprocess.Popen[str]] = {}
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        for job in self.jobs.values():
            job.kill()
            job.wait()
            if job.stderr is not None:
                job.stderr.close()
        self.server_close()

    def launch(self, body: dict[str, Any]) -> dict[str, Any]:
        """Start a job."""
        request = LaunchFlexTemplateRequest.from_json(json.dumps(body))
        self.requests.append(request)
        parameters = [f"--{name}={value}" for name, value in request.launch_parameter.parameters.items()]
        command = [sys.executable, "-c", _MAIN, *parameters, "--runner=FnApiRunner"]
        number = f"job-{len(self.jobs)}"
        self.jobs[number] = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        return {"job": {"id": number, "name": request.launch_parameter.job_name}}

    def job(self, number: str) -> dict[str, Any]:
        """How a job is."""
        code = self.jobs[number].poll()
        state = "RUNNING" if code is None else "FAILED" if code else "DONE"
        return {"id": number, "currentState": f"JOB_STATE_{state}"}

    def messages(self, number: str) -> dict[str, Any]:
        """What a job that failed said."""
        _, said = self.jobs[number].communicate()
        return {"jobMessages": [{"id": "1", "messageText": said, "messageImportance": "JOB_MESSAGE_ERROR"}]}


class _Handler(BaseHTTPRequestHandler):
    server: DataflowServer

    def do_POST(self) -> None:
        """`flexTemplates:launch`."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        project, location = self.path.split("/")[3], self.path.split("/")[5].split("?")[0]
        self._answer(self.server.launch({**body, "projectId": project, "location": location}))

    def do_GET(self) -> None:
        """`jobs/ID` and `jobs/ID/messages`."""
        parts = self.path.split("?")[0].split("/")
        self._answer(self.server.messages(parts[-2]) if parts[-1] == "messages" else self.server.job(parts[-1]))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
