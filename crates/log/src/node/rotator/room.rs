//! Room for all logs together.

use tokio::time::Instant;

use super::{COMPLAINT, Key, Rotator, SPACE, State};
use crate::{
    files::{Family, Stamp},
    node::event::{Event, Problem},
    rotate::{Candidate, Lock, Need, Room, Step, choose},
};

impl Rotator {
    /// Removes the oldest rotated files while all logs take too much, or too little is free.
    pub(super) async fn make_room(&mut self) {
        let now = Instant::now();
        if now < self.next_space {
            return;
        }
        self.next_space = now + SPACE;
        let need = self.need();
        if !need.is_short() {
            self.pressed = false;
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
        self.pressed = after.is_short();
        if self.pressed && !removed {
            self.press().await;
        }
    }

    /// Nothing is left to remove: the largest live file becomes a rotated one, which can be.
    pub(super) async fn press(&mut self) {
        let now = Instant::now();
        if now >= self.next_complaint {
            self.next_complaint = now + COMPLAINT;
            self.tell(Event::Problem { log: None, problem: Problem::Full });
        }
        let size = |state: &State| state.growth.map_or(0, |growth| growth.size());
        let ready = self.logs.iter().filter(|(_, state)| now >= state.retry);
        let largest = ready.max_by_key(|(_, state)| size(state)).map(|(key, _)| key.clone());
        if let Some(key) = largest {
            self.act(&key, true).await;
            self.schedule(&key);
        }
    }

    /// What all logs take, with what they grow by before anybody looks again.
    pub(super) fn need(&self) -> Need {
        let mut need = Need { budget: self.config.budget, ..Need::default() };
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
                need.rooms.insert(key.0, Room { free: space.available, floor });
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
