//! Faults that a test asks for.

use tokio::sync::watch;

use super::calls::CallRecord;
use crate::Code;

/// Something that goes wrong with a call; happens once, at the next call, unless said otherwise.
#[derive(Debug, Clone)]
pub struct Fault {
    pub(super) action: Action,
    object: Option<String>,
    skip: usize,
    times: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Fail(Code, String),
    Hold(watch::Receiver<()>),
    Hang,
    DropConnection,
    LoseAnswer,
}

/// Holds calls up while it is there.
#[derive(Debug)]
pub struct Gate {
    _gate: watch::Sender<()>,
}

impl Fault {
    fn new(action: Action) -> Self {
        Self { action, object: None, skip: 0, times: Some(1) }
    }

    /// The call fails so, and nothing is done.
    pub fn fail(code: Code, message: &str) -> Self {
        Self::new(Action::Fail(code, message.to_owned()))
    }

    /// The call is done once the gate is dropped.
    pub fn hold() -> (Self, Gate) {
        let (gate, held) = watch::channel(());
        (Self::new(Action::Hold(held)), Gate { _gate: gate })
    }

    /// The call is never answered, and nothing is done.
    pub fn hang() -> Self {
        Self::new(Action::Hang)
    }

    /// All connections end before anything is done; new ones can be made.
    pub fn drop_connection() -> Self {
        Self::new(Action::DropConnection)
    }

    /// The call is done, but all connections end before the answer goes out.
    pub fn lose_answer() -> Self {
        Self::new(Action::LoseAnswer)
    }

    /// Spares the first `calls` calls.
    #[must_use]
    pub fn after(mut self, calls: usize) -> Self {
        self.skip = calls;
        self
    }

    /// Happens to this many calls.
    #[must_use]
    pub fn times(mut self, calls: usize) -> Self {
        self.times = Some(calls);
        self
    }

    /// Happens until [`super::FakeHandle::heal`].
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Happens only to calls about this object: an id, a name, an image as the request has it.
    #[must_use]
    pub fn on(mut self, object: &str) -> Self {
        self.object = Some(object.to_owned());
        self
    }
}

/// The faults that are still to happen.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pending: Vec<(String, Fault)>,
}

impl Faults {
    pub(super) fn add(&mut self, method: &str, fault: Fault) {
        self.pending.push((method.to_owned(), fault));
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Gives what happens to a call: the first fault that is meant for it and due.
    pub(super) fn take(&mut self, call: &CallRecord) -> Option<Action> {
        let mut taken = None;
        for (method, fault) in &mut self.pending {
            let meant = *method == call.method
                && fault.object.as_ref().is_none_or(|object| call.objects.contains(object));
            if !meant || fault.times == Some(0) || taken.is_some() {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times = fault.times.map(|times| times - 1);
            taken = Some(fault.action.clone());
        }
        taken
    }
}
