//! A lease, from the first packet to the last, on a thread of its own.
//!
//! ```text
//! asking ──grant──▶ bound ──half the time──▶ renewing ──85 %──▶ rebinding ──end──▶ over, link down
//!    │                ▲────────────grant────────┴──────grant───────┘
//!    └─ too many tries: over          at any time: stop ▶ release ▶ over
//! ```
//!
//! A pod whose namespace is gone ends its lease without a word to the server, which has nobody
//! left to speak for; the reference keeps the namespace instead.

use std::{
    io::{self, Error, ErrorKind},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    client::{Grant, Identity, Wire, uptime},
    terms::{Times, times},
};
use crate::kernel::{Namespace, Netlink, parse_mac};

/// Pauses after the first tries, and how many those are.
const FAST: Duration = Duration::from_secs(2);
const FAST_TRIES: u32 = 4;
/// The first pause after these; each is twice the one before (RFC 2131, 4.1).
const SLOW: Duration = Duration::from_secs(4);
/// Least pause between two tries to prolong a lease.
const PROLONG: Duration = Duration::from_secs(2);
/// The longest sleep at once, for clocks that stand still while the machine sleeps.
const SLEEP: Duration = Duration::from_secs(30);

/// The link of a pod, and how to ask on it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What the lease is called in words for a person.
    pub(super) name: String,
    pub(super) namespace: PathBuf,
    pub(super) link: String,
    pub(super) identity: Identity,
    /// How long a server may take to answer.
    pub(super) limit: Duration,
    /// The longest pause between two tries.
    pub(super) longest_pause: Duration,
    /// Where words for a person go.
    pub(super) say: fn(&str),
}

#[derive(Debug, Default)]
struct State {
    is_unwanted: bool,
    is_over: bool,
    grant: Option<Grant>,
    failure: String,
}

/// A lease as others see it.
#[derive(Debug, Default)]
pub(super) struct Lease {
    state: Mutex<State>,
    changed: Condvar,
}

impl Lease {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the grant.
    pub(super) fn granted(&self) -> Result<Grant, String> {
        let pending = |state: &mut State| state.grant.is_none() && !state.is_over;
        let state = self.changed.wait_while(self.state(), pending);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        match &state.grant {
            Some(grant) if !state.is_over => Ok(grant.clone()),
            _ => Err(state.failure.clone()),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Gives the lease back, and waits until it is.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.is_unwanted = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.is_over));
    }

    fn is_wanted(&self) -> bool {
        !self.state().is_unwanted
    }

    /// Sleeps; less when the lease is not wanted any more.
    fn sleep(&self, time: Duration) {
        let wanted = |state: &mut State| !state.is_unwanted;
        drop(self.changed.wait_timeout_while(self.state(), time.min(SLEEP), wanted));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Gets the lease and keeps it; returns when it is over.
    pub(super) fn run(&self, place: &Place) {
        if let Err(error) = self.live(place) {
            (place.say)(&format!("{}: {error}", place.name));
            self.change(|state| state.failure = error.to_string());
        }
        self.change(|state| state.is_over = true);
    }

    fn live(&self, place: &Place) -> io::Result<()> {
        let inode = std::fs::metadata(&place.namespace).map(|metadata| metadata.ino());
        let inode = inode.map_err(|error| {
            let path = place.namespace.display();
            Error::new(error.kind(), format!("failed to open netns `{path}`: {error}"))
        })?;
        let pod = Pod { place, inode };
        let mut granted_at = uptime()?;
        let mut grant = self.acquire(&pod)?;
        loop {
            let times = times(&grant.message).map_err(Error::other)?;
            self.change(|state| state.grant = Some(grant.clone()));
            let text = match times {
                Some(times) => format!("for {} s", times.end.as_secs()),
                None => "for ever".to_owned(),
            };
            pod.say(&format!("{} is leased {text}", grant.message.given));
            let Some((next, at)) = self.keep(&pod, &grant, times, granted_at)? else {
                return Ok(());
            };
            (grant, granted_at) = (next, at);
        }
    }

    fn acquire(&self, pod: &Pod<'_>) -> io::Result<Grant> {
        let mut pause = SLOW;
        let mut tries = 0;
        loop {
            let identity = &pod.place.identity;
            let go_on = || self.is_wanted();
            let asked =
                pod.wire(true).and_then(|wire| wire.acquire(identity, pod.place.limit, &go_on));
            let failure = match asked {
                Ok(grant) => return Ok(grant),
                Err(failure) => failure,
            };
            tries += 1;
            let is_last = tries > FAST_TRIES && pause > pod.place.longest_pause;
            if !self.is_wanted() || is_last || !is_worth_another_try(&failure) {
                return Err(failure);
            }
            pod.say(&format!("{failure}; trying again"));
            if tries <= FAST_TRIES {
                self.sleep(FAST.min(pod.place.longest_pause));
            } else {
                self.sleep(pause);
                pause *= 2;
            }
        }
    }

    /// Keeps the lease until another is granted in its place; `None` when it was given back or
    /// ended with its pod.
    fn keep(
        &self,
        pod: &Pod<'_>,
        grant: &Grant,
        times: Option<Times>,
        granted_at: Duration,
    ) -> io::Result<Option<(Grant, Duration)>> {
        let mut try_at = times.map(|times| granted_at + times.renewal);
        loop {
            if !self.is_wanted() {
                pod.say("giving the lease back");
                pod.wire(false)?.release(&pod.place.identity, grant)?;
                return Ok(None);
            }
            if pod.is_gone() {
                pod.say("the pod is gone, and so is its lease");
                return Ok(None);
            }
            let now = uptime()?;
            let (Some(times), Some(at)) = (times, try_at) else {
                self.sleep(SLEEP);
                continue;
            };
            if now < at {
                self.sleep(at - now);
                continue;
            }
            let (rebinding, end) = (granted_at + times.rebinding, granted_at + times.end);
            if now >= end {
                pod.say("the lease has ended; switching the link off");
                pod.switch_off()?;
                return Err(Error::new(ErrorKind::TimedOut, "the lease has ended"));
            }
            match self.prolong(pod, grant, now >= rebinding) {
                Ok(grant) => return Ok(Some((grant, now))),
                Err(failure) => pod.say(&format!("failed to prolong the lease: {failure}")),
            }
            // RFC 2131, 4.4.5: half of the time that is left, but not too often.
            let now = uptime()?;
            let border = if now < rebinding { rebinding } else { end };
            try_at = Some((now + (border.saturating_sub(now) / 2).max(PROLONG)).min(end.max(now)));
        }
    }

    fn prolong(&self, pod: &Pod<'_>, grant: &Grant, by_any: bool) -> io::Result<Grant> {
        let go_on = || self.is_wanted();
        let wire = pod.wire(false)?;
        wire.prolong(&pod.place.identity, grant, by_any, pod.place.limit, &go_on)
    }
}

/// What will not be there at the next try either.
fn is_worth_another_try(failure: &Error) -> bool {
    !matches!(failure.kind(), ErrorKind::NotFound | ErrorKind::Unsupported)
}

/// A pod, known by its namespace's number, too: the path may come to lead to another.
#[derive(Debug)]
struct Pod<'a> {
    place: &'a Place,
    inode: u64,
}

impl Pod<'_> {
    fn say(&self, words: &str) {
        (self.place.say)(&format!("{}: {words}", self.place.name));
    }

    fn is_gone(&self) -> bool {
        std::fs::metadata(&self.place.namespace).map(|metadata| metadata.ino()).ok()
            != Some(self.inode)
    }

    /// Opens the link; with `up`, switches it on when it is off.
    fn wire(&self, up: bool) -> io::Result<Wire> {
        let open = |inside: &Netlink| {
            let name = &self.place.link;
            let link = inside.link(name).map_err(Error::other)?.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("the pod has no link `{name}`"))
            })?;
            let mac = parse_mac(&link.mac).ok_or_else(|| {
                let text = format!("link `{name}` has no hardware address of six bytes");
                Error::new(ErrorKind::Unsupported, text)
            })?;
            if up && !link.is_up {
                inside.set_up(&link, true).map_err(Error::other)?;
            }
            Wire::open(link.index, mac)
        };
        self.enter(open)
    }

    fn switch_off(&self) -> io::Result<()> {
        self.enter(|inside| match inside.link(&self.place.link).map_err(Error::other)? {
            Some(link) => inside.set_up(&link, false).map_err(Error::other),
            None => Ok(()),
        })
    }

    fn enter<T: Send>(&self, work: impl FnOnce(&Netlink) -> io::Result<T> + Send) -> io::Result<T> {
        if self.is_gone() {
            return Err(Error::new(ErrorKind::NotFound, "the pod's network namespace is gone"));
        }
        let namespace = Namespace::open(&self.place.namespace).map_err(Error::other)?;
        let inside = || Netlink::open().map_err(Error::other).and_then(|inside| work(&inside));
        namespace.run(inside).map_err(Error::other)?
    }
}
