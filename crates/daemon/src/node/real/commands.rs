//! What the API asks, done by the manager: written down first, answered, then worked on.

use std::{io, sync::atomic::Ordering, time::Duration};

use crilet_api::{
    ApiError, Desired as ApiDesired, ErrorCode, Phase, PodRef, RestartRequest, Source, StopRequest,
};
use crilet_pod::sync::Request;

use super::manager::{Command, Manager, backoff, leave};
use crate::Config;

impl Manager {
    pub(super) async fn serve(&mut self, command: Command) {
        // Whoever does not wait for the answer any more has been served all the same.
        let _gone = match command {
            Command::Apply(request, reply) => reply.send(self.apply(request)).is_err(),
            Command::Delete(pod, request, reply) => reply.send(self.delete(&pod, request)).is_err(),
            Command::Stop(pod, request, reply) => reply.send(self.stop(&pod, request)).is_err(),
            Command::Start(pod, reply) => reply.send(self.start_again(&pod)).is_err(),
            Command::Restart(pod, request, reply) => {
                reply.send(self.restart(&pod, request)).is_err()
            }
            Command::CollectImages(request, reply) => {
                let pods = self.wanted_images();
                let report = self.images.collect(&self.shared.client, request, &pods).await;
                reply.send(report).is_err()
            }
            Command::Configure(config) => {
                self.configure(&config);
                false
            }
        };
    }

    fn configure(&mut self, config: &Config) {
        self.images.configure(config.images);
        self.shared.keep_dead.store(super::dead(config), Ordering::Relaxed);
        self.shared.pulls.set_limit(super::pulls(config));
        self.relist = config.relist_interval;
        self.backoff = backoff(config);
        self.reconcile();
    }

    fn delete(&mut self, pod: &PodRef, request: StopRequest) -> Result<(), ApiError> {
        self.known(pod)?;
        if !self.applied.contains_key(pod) {
            return Err(self.owned_by_file(pod));
        }
        self.store.forget_applied(pod).map_err(|error| written(pod, &error))?;
        self.store.set_stopped(pod, false).map_err(|error| written(pod, &error))?;
        self.applied.remove(pod);
        if let Some(worked) = self.workers.get_mut(pod) {
            leave(worked, grace(request));
        }
        self.reconcile();
        Ok(())
    }

    fn stop(&mut self, pod: &PodRef, request: StopRequest) -> Result<(), ApiError> {
        self.known(pod)?;
        self.store.set_stopped(pod, true).map_err(|error| written(pod, &error))?;
        if let Some(worked) = self.workers.get(pod) {
            let wanted = worked.keeper.wanted();
            let intent = crilet_pod::sync::Intent::Stop;
            let wanted = crilet_pod::sync::Wanted { intent, grace: grace(request), ..wanted };
            worked.keeper.want(wanted);
        }
        self.view.wish(pod, ApiDesired::Stopped);
        Ok(())
    }

    fn start_again(&mut self, pod: &PodRef) -> Result<(), ApiError> {
        self.known(pod)?;
        self.store.set_stopped(pod, false).map_err(|error| written(pod, &error))?;
        let shown = self.view.get(pod);
        let runs =
            shown.as_ref().is_some_and(|shown| shown.phase == Phase::Running && shown.is_ready());
        let was_stopped = shown.is_some_and(|shown| shown.desired == ApiDesired::Stopped);
        self.reconcile();
        // One that has ended for good, or waits, is asked for anew.
        if let Some(worked) = self.workers.get(pod).filter(|_| !runs && !was_stopped) {
            worked.keeper.ask(Request::Restart(None));
        }
        if !runs {
            self.view.wish(pod, ApiDesired::Running);
        }
        Ok(())
    }

    fn restart(&mut self, pod: &PodRef, request: RestartRequest) -> Result<(), ApiError> {
        self.known(pod)?;
        let Some(worked) = self.workers.get(pod) else { return Err(ApiError::no_such_pod(pod)) };
        if let Some(name) = &request.container
            && worked.keeper.wanted().pod.container(name).is_none()
        {
            let message = format!("pod `{pod}` has no container `{name}`");
            return Err(ApiError::new(ErrorCode::NoSuchContainer, message));
        }
        if self.store.is_stopped(pod) {
            let error = ApiError::new(ErrorCode::Conflict, format!("pod `{pod}` is stopped"));
            return Err(error.hint(format!("`crilet start {pod}` starts it")));
        }
        self.view.wish(pod, ApiDesired::Running);
        worked.keeper.ask(Request::Restart(request.container));
        Ok(())
    }

    fn known(&self, pod: &PodRef) -> Result<(), ApiError> {
        let leaving = self.workers.get(pod).is_none_or(|worked| worked.leaving);
        if leaving { Err(ApiError::no_such_pod(pod)) } else { Ok(()) }
    }

    pub(super) fn owned_by_file(&self, pod: &PodRef) -> ApiError {
        let place = match self.view.get(pod).map(|pod| pod.source.clone()) {
            Some(source @ Source::File { .. }) => source.place(),
            _ => String::new(),
        };
        let message = format!("pod `{pod}` is what {place} says");
        ApiError::new(ErrorCode::OwnedByFile, message)
            .hint("edit or remove the file; the daemon follows")
    }
}

pub(super) fn written(pod: &PodRef, error: &io::Error) -> ApiError {
    let message = format!("what is wanted of pod `{pod}` cannot be written down: {error}");
    ApiError::new(ErrorCode::Internal, message)
}

fn grace(request: StopRequest) -> Option<Duration> {
    request.grace_seconds.map(Duration::from_secs)
}
