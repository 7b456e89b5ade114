//! Probes: asked again and again while their container runs.
//!
//! ```text
//!   startup ──succeeds──▶ started ──▶ liveness ──fails──▶ condemned
//!      └──fails──▶ condemned     └──▶ readiness ◀─▶ ready, not ready
//! ```

use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::mpsc, task::JoinSet, time::MissedTickBehavior};

use super::{
    Answers, Kind,
    ask::{Answer, AskError},
};
use crate::{
    model::{Probe, Probes},
    sync::Answered,
};

/// How often an answer that could not be had is asked for again at once, as the kubelet does.
const RETRIES: usize = 3;

/// What a probe has found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The container's id.
    pub(super) container: String,
    pub(super) kind: Kind,
    pub(super) success: bool,
    /// The last answer, in words.
    pub(super) message: String,
}

/// Counts answers until they make a verdict; pure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Count {
    last: Option<bool>,
    in_a_row: u32,
    verdict: Option<bool>,
}

impl Count {
    /// Takes an answer; gives a verdict that was not the last one.
    fn take(&mut self, probe: &Probe, success: bool) -> Option<bool> {
        self.in_a_row =
            if self.last == Some(success) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(success);
        let enough = if success { probe.successes } else { probe.failures };
        let verdict = (self.in_a_row >= enough.get()).then_some(success);
        if verdict.is_none() || verdict == self.verdict {
            return None;
        }
        self.verdict = verdict;
        verdict
    }

    /// The answer that was just taken, with what it counts for.
    fn answered(&self, success: bool, message: &str) -> Answered {
        Answered {
            at: SystemTime::now(),
            success,
            message: message.to_owned(),
            in_a_row: self.in_a_row,
            verdict: self.verdict,
        }
    }
}

/// The probes of a pod's running containers.
#[derive(Debug)]
pub(super) struct Running {
    probed: BTreeMap<(String, Kind), (Probe, tokio::task::AbortHandle)>,
    tasks: JoinSet<()>,
    told: Told,
}

/// Who hears of answers, and of what follows from them.
#[derive(Debug, Clone)]
struct Told {
    answers: Arc<Answers>,
    verdicts: mpsc::UnboundedSender<Verdict>,
}

impl Running {
    pub(super) fn new(answers: Arc<Answers>) -> (Self, mpsc::UnboundedReceiver<Verdict>) {
        let (verdicts, receiver) = mpsc::unbounded_channel();
        let told = Told { answers, verdicts };
        (Self { probed: BTreeMap::new(), tasks: JoinSet::new(), told }, receiver)
    }

    /// Lets those probes of a container run that its state calls for, and no others.
    ///
    /// `ask` gives the future of one question.
    pub(super) fn follow<A, F>(
        &mut self,
        container: &str,
        probes: &Probes,
        started: bool,
        since: SystemTime,
        ask: A,
    ) where
        A: Fn(&Probe) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer, AskError>> + Send + 'static,
    {
        let wanted = [
            (Kind::Startup, probes.startup.as_ref().filter(|_| !started)),
            (Kind::Liveness, probes.liveness.as_ref().filter(|_| started)),
            (Kind::Readiness, probes.readiness.as_ref().filter(|_| started)),
        ];
        for (kind, probe) in wanted {
            let key = (container.to_owned(), kind);
            if self.probed.get(&key).map(|(probe, _)| probe) == probe {
                continue;
            }
            if let Some((_, task)) = self.probed.remove(&key) {
                task.abort();
            }
            if let Some(probe) = probe {
                let task = one(key.clone(), probe.clone(), since, ask.clone(), self.told.clone());
                self.probed.insert(key, (probe.clone(), self.tasks.spawn(task)));
            }
        }
        // Ends of tasks are of no interest, but they take room.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Ends the probes of all containers but these.
    pub(super) fn retain(&mut self, running: impl Fn(&str) -> bool) {
        let answers = &self.told.answers;
        self.probed.retain(|key, (_, task)| {
            let keep = running(&key.0);
            if !keep {
                task.abort();
                answers.forget(key);
            }
            keep
        });
    }
}

async fn one<A, F>(key: (String, Kind), probe: Probe, since: SystemTime, ask: A, told: Told)
where
    A: Fn(&Probe) -> F,
    F: Future<Output = Result<Answer, AskError>>,
{
    let kind = key.1;
    let ran = SystemTime::now().duration_since(since).unwrap_or_default();
    tokio::time::sleep(probe.initial_delay.saturating_sub(ran)).await;
    let mut ticks = tokio::time::interval(probe.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = Count::default();
    loop {
        ticks.tick().await;
        let Some(answer) = answer(&probe, &ask).await else { continue };
        let (success, message) = match answer {
            Answer::Success => (true, String::new()),
            Answer::Failure(message) => (false, message),
        };
        let verdict = count.take(&probe, success);
        told.answers.record(key.clone(), count.answered(success, &message));
        let Some(success) = verdict else { continue };
        let verdict = Verdict { container: key.0.clone(), kind, success, message };
        let over = match kind {
            Kind::Startup => true,
            Kind::Liveness => !success,
            Kind::Readiness => false,
        };
        if told.verdicts.send(verdict).is_err() || over {
            return;
        }
    }
}

/// One answer. One that takes too long is a failure; one that cannot be had after some tries is
/// none at all: whoever could not be asked may be well.
async fn answer<A, F>(probe: &Probe, ask: &A) -> Option<Answer>
where
    A: Fn(&Probe) -> F,
    F: Future<Output = Result<Answer, AskError>>,
{
    for _ in 0..RETRIES {
        match tokio::time::timeout(probe.timeout, ask(probe)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => {
                tracing::debug!(error = %crilet_core::ErrorChain(&error), "no answer to a probe");
            }
            Err(_) => {
                let seconds = Duration::as_secs_f64(&probe.timeout);
                return Some(Answer::Failure(format!("no answer within {seconds} s")));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroU32,
        sync::{Arc, Mutex},
    };

    use tokio::time::Instant;

    use super::*;
    use crate::model::Handler;

    fn probe(change: impl FnOnce(&mut Probe)) -> Option<Probe> {
        let mut probe = Probe::new(Handler::Exec(vec!["true".into()]));
        change(&mut probe);
        Some(probe)
    }

    /// Runs probes against scripted answers, the last of them for ever; gives the verdicts with the
    /// second they came in.
    async fn verdicts(probes: Probes, started: bool, script: &str) -> Vec<(u64, Kind, bool)> {
        let begin = Instant::now();
        let last = script.chars().last();
        let script = Arc::new(Mutex::new(script.chars().collect::<Vec<_>>().into_iter()));
        let ask = move |_: &Probe| {
            let next = script.lock().unwrap().next().or(last);
            async move {
                match next {
                    Some('+') => Ok(Answer::Success),
                    Some('-') => Ok(Answer::Failure("no".into())),
                    Some('?') => Err(AskError::NoAddress),
                    Some('z') => {
                        tokio::time::sleep(Duration::from_secs(3600)).await;
                        Ok(Answer::Success)
                    }
                    _ => std::future::pending().await,
                }
            }
        };
        let (mut running, mut receiver) = Running::new(Arc::default());
        running.follow("c", &probes, started, SystemTime::now(), ask);
        let mut seen = Vec::new();
        let end = tokio::time::sleep(Duration::from_secs(1000));
        tokio::pin!(end);
        loop {
            tokio::select! {
                verdict = receiver.recv() => {
                    let verdict = verdict.unwrap();
                    let at = begin.elapsed().as_secs();
                    seen.push((at, verdict.kind, verdict.success));
                }
                () = &mut end => return seen,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn liveness_fails_after_three_failures_in_a_row_and_then_keeps_quiet() {
        let probes = Probes { liveness: probe(|_| ()), ..Probes::default() };
        let seen = verdicts(probes, true, "+-+--+---------").await;
        assert_eq!(seen, [(0, Kind::Liveness, true), (80, Kind::Liveness, false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_comes_and_goes() {
        let two = NonZeroU32::new(2).unwrap();
        let readiness = probe(|probe| {
            probe.period = Duration::from_secs(1);
            probe.initial_delay = Duration::from_secs(5);
            (probe.successes, probe.failures) = (two, two);
        });
        let probes = Probes { readiness, ..Probes::default() };
        let seen = verdicts(probes, true, "-+++--+-++").await;
        let ready = |at, success| (at, Kind::Readiness, success);
        assert_eq!(seen, [ready(7, true), ready(10, false), ready(14, true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_others_wait_for_startup_and_what_is_slow_fails() {
        let startup = probe(|probe| probe.failures = NonZeroU32::new(30).unwrap());
        let probes = Probes { startup, liveness: probe(|_| ()), readiness: probe(|_| ()) };
        let seen = verdicts(probes, false, "z-+---").await;
        assert_eq!(seen, [(20, Kind::Startup, true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_asked_is_not_judged() {
        let probes = Probes { liveness: probe(|_| ()), ..Probes::default() };
        let seen = verdicts(probes, true, "?????????-??+---").await;
        assert_eq!(seen, [(40, Kind::Liveness, true), (70, Kind::Liveness, false)]);
    }
}
