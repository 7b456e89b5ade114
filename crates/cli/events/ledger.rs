//! What has been told of each container and sandbox, so that everything is told once. Pure.
//!
//! What is seen by looking tells more, and what is heard leaves nothing out: each thing that happens is
//! told of what was seen, with the time that was heard, and of what was heard where nothing was seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use crilet_api::Event;
use crilet_runtime::events::Names;
use jiff::Timestamp;

use super::{
    happenings::{at, ended_event, event},
    heard::{End, Fact, Heard},
};

/// For so many looks what was removed is still known: it may be heard of after it was missed, or
/// be listed a little longer.
const LOOKS: u32 = 100;

/// What can happen to one of them, each once and in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Created,
    Started,
    Ended,
    Removed,
}

/// An event, and of which step of whose life it tells.
#[derive(Debug, Clone)]
pub(super) struct Telling {
    pub(super) id: String,
    pub(super) step: Step,
    /// Whether it says when that was, and all of what can be known of it: what is only missed from a
    /// list does not.
    pub(super) is_exact: bool,
    pub(super) event: Event,
}

#[derive(Debug, Default)]
struct Life {
    /// Nothing as long as nobody has told, and for what is no container of the CRI.
    names: Option<Names>,
    told: BTreeSet<Step>,
    ran_out_of_memory: bool,
    /// How many looks ago it was removed.
    looks: u32,
}

/// The lives of all that is there or was not long ago.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<String, Life>);

impl Ledger {
    /// Whose an id is.
    pub(super) fn know(&mut self, id: &str, names: impl FnOnce() -> Names) {
        self.0.entry(id.to_owned()).or_default().names.get_or_insert_with(names);
    }

    /// Everything that is not told yet of what was seen and heard, the oldest first.
    pub(super) fn settle(&mut self, seen: Vec<Telling>, heard: Vec<Heard>) -> Vec<Event> {
        let mut tellings: Vec<Telling> = Vec::new();
        for telling in seen {
            if self.0.entry(telling.id.clone()).or_default().told.insert(telling.step) {
                tellings.push(telling);
            }
        }
        for heard in heard {
            self.hear(heard, &mut tellings);
        }
        self.forget();
        in_order(tellings)
    }

    fn hear(&mut self, heard: Heard, tellings: &mut Vec<Telling>) {
        let life = self.0.entry(heard.id.clone()).or_default();
        if let Some(names) = heard.names.clone() {
            life.names.get_or_insert(names);
        }
        let step = match heard.fact {
            Fact::Created { .. } => Step::Created,
            Fact::Started => Step::Started,
            Fact::Ended(_) => Step::Ended,
            Fact::Removed => Step::Removed,
            Fact::OutOfMemory => {
                life.ran_out_of_memory = true;
                return;
            }
        };
        let Some(event) = life.event(&heard) else { return };
        let is_new = life.told.insert(step);
        let Heard { id, .. } = heard;
        let known = tellings.iter_mut().find(|known| known.id == id && known.step == step);
        match known {
            Some(known) if !known.is_exact => {
                *known = Telling { id, step, is_exact: true, event };
            }
            None if is_new => tellings.push(Telling { id, step, is_exact: true, event }),
            _ => {}
        }
    }

    /// Forgets what is gone for long.
    fn forget(&mut self) {
        self.0.retain(|_, life| {
            life.looks += u32::from(life.told.contains(&Step::Removed));
            life.looks < LOOKS
        });
    }
}

impl Life {
    /// What is told of something that was only heard; nothing of what is told nobody, and of containers of
    /// nobody's pod.
    fn event(&self, heard: &Heard) -> Option<Event> {
        let names = self.names.as_ref()?;
        let tell = |reason, message| event(names, at(heard.time), reason, message);
        let is_sandbox = names.container.is_none();
        Some(match &heard.fact {
            Fact::OutOfMemory => return None,
            Fact::Started if is_sandbox => return None,
            Fact::Created { .. } if is_sandbox => tell("Created", "made the sandbox".to_owned()),
            Fact::Created { image } => tell("Created", format!("made of {image}")),
            Fact::Started => started(names, heard.time),
            Fact::Ended(_) if is_sandbox => tell("Stopped", "the sandbox ended".to_owned()),
            Fact::Ended(None) => tell("Exited", "ended; the runtime did not tell how".to_owned()),
            Fact::Ended(Some(end)) => {
                let End { code, mut reason, message } = end.clone();
                if reason.is_empty() && self.ran_out_of_memory && code != 0 {
                    "OOMKilled".clone_into(&mut reason);
                }
                ended_event(names, at(heard.time), code, &reason, &message)
            }
            Fact::Removed if is_sandbox => tell("Removed", "the pod was removed".to_owned()),
            Fact::Removed
                if self.told.contains(&Step::Started) && !self.told.contains(&Step::Ended) =>
            {
                tell("Removed", "the container was removed; how it ended was not seen".to_owned())
            }
            Fact::Removed => tell("Removed", "the container was removed".to_owned()),
        })
    }
}

/// That a container was started.
pub(super) fn started(names: &Names, time: SystemTime) -> Event {
    let message = match &names.container {
        Some((_, attempt @ 1..)) => format!("started again, attempt {attempt}"),
        _ => "started".to_owned(),
    };
    event(names, at(time), "Started", message)
}

/// The oldest first; of one life in its order, whatever clocks say.
fn in_order(mut tellings: Vec<Telling>) -> Vec<Event> {
    tellings.sort_by_key(|telling| telling.step);
    let mut latest: BTreeMap<String, Timestamp> = BTreeMap::new();
    for Telling { id, event, .. } in &mut tellings {
        let latest = latest.entry(std::mem::take(id)).or_insert(event.time);
        event.time = event.time.max(*latest);
        event.first_time = event.time;
        *latest = event.time;
    }
    tellings.sort_by_key(|telling| telling.event.time);
    tellings.into_iter().map(|telling| telling.event).collect()
}
