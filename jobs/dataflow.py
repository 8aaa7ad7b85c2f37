"""Dataflow as an engine: each pipeline of a run becomes a job, launched from the Flex Template.

The run itself stays where it is, on a laptop or as a Cloud Run job; it writes the work of a pipeline into
the workspace, launches a job that does it, follows the job, and reads what it wrote.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud import dataflow_v1beta3 as api

from jobs import commands
from jobs.config import load
from jobs.config_deploy import Deploy
from jobs.deploy import TEMPLATE, deployment
from jobs.launched import PIPELINES
from jobs.run import Progress, silent
from jobs.sealed import seal
from jobs.warehouse import load_run
from jobs.workspace import Workspace
from pipelines import filesystem
from pipelines.execution import Verb, expected_error
from reconcilers.errors import ReconError, Unreachable

_ENDED = (api.JobState.JOB_STATE_FAILED, api.JobState.JOB_STATE_CANCELLED, api.JobState.JOB_STATE_UPDATED)
_CALL = {"timeout": 60.0}
_LOOK = {**_CALL, "retry": Retry(timeout=300.0)}


@dataclass(frozen=True)
class Dataflow:
    """Runs pipelines as Dataflow jobs of a project.

    `beam_args` are more options for each job. `endpoint` is another server than Google's, asked without
    credentials. `pause` is how many seconds pass between two looks at a job.
    """

    deploy: Deploy
    workspace: str
    beam_args: tuple[str, ...] = ()
    say: Progress = silent
    endpoint: str | None = None
    pause: float = 10.0

    def call_each(self, verb: Verb, calls: Sequence[tuple[Any, ...]], watch: Callable[[], None] | None) -> None:
        """Launch the job of the pipeline whose verb this is, and return when it is done.

        Raises:
            Unreachable: Dataflow cannot be reached, or the job failed for a reason of its own.
            ReconError: a call met an expected error.
        """
        pipeline = next(name for name, known in PIPELINES.items() if known is verb)
        work = filesystem.join(self.workspace, "launches", f"{uuid4().hex}.work")
        filesystem.write_atomic(work, seal(list(calls), self.deploy.project))
        with _told("Dataflow"):
            job = self._launch(pipeline, work, len(calls))
            self.say(f"{pipeline}: Dataflow job {job.name} ({job.id})")
            try:
                self._follow(job, watch)
            except KeyboardInterrupt:
                self._cancel(job)
                raise
        filesystem.delete(work)

    def request(self, pipeline: str, work: str, calls: int, name: str) -> api.LaunchFlexTemplateRequest:
        """What is asked of Dataflow for one job."""
        deploy = self.deploy
        temporary = filesystem.join(self.workspace, "tmp")
        environment = api.FlexTemplateRuntimeEnvironment(
            service_account_email=deploy.worker,
            machine_type=deploy.machine_type,
            max_workers=deploy.max_workers,
            temp_location=temporary,
            staging_location=filesystem.join(temporary, "staging"),
            additional_user_labels={"recon": deploy.name, "pipeline": pipeline},
            additional_pipeline_options=[arg.removeprefix("--") for arg in self.beam_args],
        )
        if deploy.subnetwork is not None:
            environment.subnetwork = f"https://www.googleapis.com/compute/v1/{deploy.subnetwork}"
            environment.ip_configuration = api.WorkerIPAddressConfiguration.WORKER_IP_PRIVATE
        return api.LaunchFlexTemplateRequest(
            project_id=deploy.project,
            location=deploy.region,
            launch_parameter=api.LaunchFlexTemplateParameter(
                job_name=name,
                container_spec_gcs_path=filesystem.join(self.workspace, TEMPLATE),
                parameters={"pipeline": pipeline, "work": work, "calls": str(calls)},
                environment=environment,
            ),
        )

    def _launch(self, pipeline: str, work: str, calls: int) -> api.Job:
        name = f"{self.deploy.name}-{pipeline}-{uuid4().hex[:8]}"
        launched = self._client(api.FlexTemplatesServiceClient).launch_flex_template(
            self.request(pipeline, work, calls, name), **_CALL
        )
        return launched.job

    def _follow(self, job: api.Job, watch: Callable[[], None] | None) -> None:
        """Wait for the end of a job, and raise what it failed with."""
        jobs = self._client(api.JobsV1Beta3Client)
        asked = api.GetJobRequest(project_id=self.deploy.project, location=self.deploy.region, job_id=job.id)
        while (state := jobs.get_job(asked, **_LOOK).current_state) not in _ENDED:
            if watch is not None:
                watch()
            if state == api.JobState.JOB_STATE_DONE:
                return
            time.sleep(self.pause)
        raise self._failure(job, state.name.removeprefix("JOB_STATE_").lower())

    def _failure(self, job: api.Job, state: str) -> ReconError:
        """Why a job failed, in one line: the expected error of a worker, else the last thing that Dataflow said."""
        asked = api.ListJobMessagesRequest(
            project_id=self.deploy.project,
            location=self.deploy.region,
            job_id=job.id,
            minimum_importance=api.JobMessageImportance.JOB_MESSAGE_ERROR,
        )
        messages = self._client(api.MessagesV1Beta3Client).list_job_messages(asked, **_LOOK)
        texts = [message.message_text for message in messages]
        told = next(filter(None, map(expected_error, texts)), None)
        last = texts[-1].strip().splitlines()[-1][:300] if texts else "it gives no reason"
        return told or Unreachable(f"Dataflow job {job.name} ({job.id}): {state}: {last}")

    def _cancel(self, job: api.Job) -> None:
        self._client(api.JobsV1Beta3Client).update_job(
            api.UpdateJobRequest(
                project_id=self.deploy.project,
                location=self.deploy.region,
                job_id=job.id,
                job=api.Job(requested_state=api.JobState.JOB_STATE_CANCELLED),
            ),
            **_LOOK,
        )

    def _client(self, kind: Any) -> Any:
        if self.endpoint is None:
            return kind()
        options = ClientOptions(api_endpoint=self.endpoint)
        return kind(transport="rest", client_options=options, credentials=AnonymousCredentials())


def run_job(
    path: Path,
    job: str,
    progress: Progress,
    beam_args: tuple[str, ...] = (),
    resume: bool = False,
    as_of: str | None = None,
) -> commands.Outcome:
    """All steps of a job, led from here, each pipeline a Dataflow job; what it found goes to BigQuery.

    Raises:
        ConfigError: the configuration cannot run there.
    """
    config = load(path)
    place = deployment(config)
    workspace = Workspace(str(config.workspace))
    engine = Dataflow(place, workspace.root, beam_args, progress)
    outcome = commands.run_job(path, job, progress, engine, resume, as_of)
    progress("load into BigQuery …")
    with _told("BigQuery"):
        client = bigquery.Client(project=place.project, location=place.region)
    load_run(place, workspace, outcome.summary, client)
    return outcome


def start(path: Path, job: str) -> dict[str, str]:
    """Start the Cloud Run job that does all of a job, and return at once: its name and its execution.

    Raises:
        Unreachable: Cloud Run cannot be reached, or has no such job.
    """
    from google.cloud.run_v2 import JobsClient

    config = load(path)
    config.job(job)
    deploy = deployment(config)
    name = f"projects/{deploy.project}/locations/{deploy.region}/jobs/{deploy.cloud_run_job(job)}"
    with _told(f"Cloud Run job {deploy.cloud_run_job(job)}"):
        operation = JobsClient().run_job(name=name, **_CALL)
    return {"job": name, "execution": operation.metadata.name.rsplit("/", 1)[-1]}


@contextmanager
def _told(what: str) -> Iterator[None]:
    """An error of Google's as one line that names what was asked."""
    try:
        yield
    except (GoogleAPICallError, GoogleAuthError, RetryError, OSError) as error:
        raise Unreachable(f"{what}: {' '.join(str(error).split())[:300]}") from error
