//! Room for all logs together.

use std::time::SystemTime;

use tokio::time::Instant;

use super::{COMPLAINT, Key, Rotator, SPACE, State};
use crate::{
    files::{Family, Stamp},
    node::event::{Event, Problem},
    node::gone::Leftover,
    rotate::{Candidate, Lock, Need, Room, Step, Why, choose},
};

impl Rotator {
    /// Removes the oldest rotated files while all logs take too much, or too little is free.
    pub(super) async fn make_room(&mut self) {
        let now = Instant::now();
        if now < self.next_space {
            return;
        }
        self.next_space = now + SPACE;
        self.forget_for_room();
        let need = self.need();
        if !need.is_short() {
            self.pressed = None;
            return;
        }
        let (families, candidates) = self.candidates();
        let (chosen, after) = choose(candidates, need);
        let removed = !chosen.is_empty();
        for ((place, stamp), why) in chosen {
            let Some((key, family)) = families.get(place) else { continue };
            if let Ok(Some(lock)) = self.locks.take(Lock::Names, (key.0, key.1)) {
                self.step(key, family, Step::Remove(stamp, why)).await;
                drop(lock);
            }
            self.refresh(key, false);
        }
        if after.is_short() && !removed {
            self.press(&after).await;
        }
        self.pressed = Some(after).filter(Need::is_short);
    }

    /// Removes logs of pods that have been gone for long enough.
    pub(super) fn forget_old(&mut self) {
        self.leftovers = self.gone.leftovers(&self.leftovers);
        let (keep, now) = (self.config.keep_gone, SystemTime::now());
        let (over, kept) = std::mem::take(&mut self.leftovers)
            .into_iter()
            .partition(|left| left.is_over(keep, now));
        self.leftovers = kept;
        let over: Vec<Leftover> = over;
        for left in over {
            self.forget(&left, Why::Age);
        }
    }

    /// Where room is short, logs of pods that are gone go before any of those that are there.
    fn forget_for_room(&mut self) {
        while !self.leftovers.is_empty() {
            let need = self.need();
            let helps = |left: &Leftover| need.is_short_on(left.device);
            let Some(place) = self.leftovers.iter().position(helps) else { return };
            let left = self.leftovers.remove(place);
            let room = need.rooms.get(&left.device);
            let crowded = room.is_some_and(|room| room.free < room.floor);
            let why = if crowded { Why::Space } else { Why::Budget };
            self.forget(&left, why);
        }
    }

    fn forget(&mut self, left: &Leftover, why: Why) {
        let directory = left.pod.directory.clone();
        match left.remove() {
            Ok(()) => self.tell(Event::Forgotten { directory, size: left.size, why }),
            Err(cause) => self.tell_once(Some(directory), Problem::Remove(cause)),
        }
    }

    /// Nothing is left to remove: the largest live file, of those that take the room that is missing,
    /// becomes a rotated one, which can be.
    pub(super) async fn press(&mut self, need: &Need) {
        let now = Instant::now();
        if now >= self.next_complaint {
            self.next_complaint = now + COMPLAINT;
            self.tell(Event::Problem { log: None, problem: Problem::Full });
        }
        let size = |state: &State| state.growth.map_or(0, |growth| growth.size());
        let ready =
            self.logs.iter().filter(|(key, state)| now >= state.retry && need.is_short_on(key.0));
        let largest = ready.max_by_key(|(_, state)| size(state)).map(|(key, _)| key.clone());
        if let Some(key) = largest {
            self.act(&key, true).await;
            self.schedule(&key);
        }
    }

    /// What all logs take, with what they grow by before anybody looks again.
    pub(super) fn need(&self) -> Need {
        let gone = self.leftovers.iter().map(|left| left.size).sum();
        let mut need = Need { budget: self.config.budget, total: gone, ..Need::default() };
        for (key, state) in &self.logs {
            let growth =
                state.growth.map_or(0, |growth| growth.size().saturating_add(growth.soon()));
            need.total = need.total.saturating_add(state.rotated).saturating_add(growth);
            if need.rooms.contains_key(&key.0) {
                continue;
            }
            if let Ok(space) = state.found.log.directory().space() {
                let floor =
                    self.config.min_free.unwrap_or_else(|| (space.total / 50).min(256 << 20));
                // Whatever is free, nothing can be rotated where no file can be made: one has to go.
                let (free, floor) = match space.takes_files {
                    true => (space.available, floor),
                    false => (space.available.min(floor.saturating_sub(1)), floor.max(1)),
                };
                need.rooms.insert(key.0, Room { free, floor });
            }
        }
        need
    }

    /// All rotated files, but those that a runtime may still be writing.
    #[expect(clippy::type_complexity, reason = "a list, and places in it")]
    pub(super) fn candidates(&self) -> (Vec<(Key, Family)>, Vec<Candidate<(usize, Stamp)>>) {
        let (mut families, mut candidates) = (Vec::new(), Vec::new());
        for (key, state) in &self.logs {
            let Ok(family) = state.found.log.family() else { continue };
            let rotated =
                family.rotated.len() - usize::from(family.live.is_none()).min(family.rotated.len());
            for rotated in family.rotated.iter().take(rotated) {
                let size = rotated.forms.values().map(|meta| meta.allocated).sum();
                let Some((_, meta)) = rotated.best() else { continue };
                let key = (families.len(), rotated.stamp);
                candidates.push(Candidate {
                    key,
                    device: meta.id.0,
                    size,
                    modified: meta.modified,
                });
            }
            families.push((key.clone(), family));
        }
        (families, candidates)
    }
}
