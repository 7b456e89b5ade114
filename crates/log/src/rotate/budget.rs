//! Room for all logs of the node: which rotated files go when there is too little.

use std::{collections::BTreeMap, time::SystemTime};

use super::Why;

/// A rotated file that could be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<K> {
    /// What the caller calls it.
    pub key: K,
    /// The file system that it is on.
    pub device: u64,
    /// Bytes that its removal frees.
    pub size: u64,
    /// When its last line was written.
    pub modified: SystemTime,
}

/// Room on one file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What is free.
    pub free: u64,
    /// What has to stay free.
    pub floor: u64,
}

/// How it is with the room for logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// Bytes that all logs take together, and will take before anybody looks again.
    pub total: u64,
    /// Bytes that they may take.
    pub budget: Option<u64>,
    /// By file system.
    pub rooms: BTreeMap<u64, Room>,
}

impl Need {
    /// Whether something has to go.
    pub fn is_short(&self) -> bool {
        self.is_over() || self.rooms.values().any(|room| room.free < room.floor)
    }

    /// Whether what is on one file system has to make room: for all logs together, or for that.
    pub fn is_short_on(&self, device: u64) -> bool {
        self.is_over() || self.rooms.get(&device).is_some_and(|room| room.free < room.floor)
    }

    fn is_over(&self) -> bool {
        self.budget.is_some_and(|budget| self.total > budget)
    }
}

/// Chooses what is removed, the oldest first, and what for; and tells how it is afterwards.
pub fn choose<K: Copy>(mut candidates: Vec<Candidate<K>>, mut need: Need) -> (Vec<(K, Why)>, Need) {
    candidates.sort_by_key(|candidate| candidate.modified);
    let mut chosen = Vec::new();
    for Candidate { key, device, size, .. } in candidates {
        let room = need.rooms.get_mut(&device);
        let why = match need.budget {
            _ if room.as_ref().is_some_and(|room| room.free < room.floor) => Why::Space,
            Some(budget) if need.total > budget => Why::Budget,
            _ => continue,
        };
        chosen.push((key, why));
        need.total = need.total.saturating_sub(size);
        if let Some(room) = room {
            room.free = room.free.saturating_add(size);
        }
    }
    (chosen, need)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn candidate(key: usize, device: u64, size: u64, age: u64) -> Candidate<usize> {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000 - age);
        Candidate { key, device, size, modified }
    }

    fn rooms(free: &[(u64, u64)], floor: u64) -> BTreeMap<u64, Room> {
        free.iter().map(|(device, free)| (*device, Room { free: *free, floor })).collect()
    }

    #[test]
    fn the_oldest_goes_first_and_no_more_than_needed() {
        let all = vec![candidate(0, 1, 10, 5), candidate(1, 1, 10, 9), candidate(2, 2, 10, 7)];
        let need = Need { total: 100, budget: Some(85), rooms: BTreeMap::new() };
        let (chosen, after) = choose(all.clone(), need);
        assert_eq!(chosen, [(1, Why::Budget), (2, Why::Budget)]);
        assert_eq!(after.total, 80);
        // Only what is on the file system that is full helps it.
        let need = Need { total: 100, budget: None, rooms: rooms(&[(1, 1000), (2, 45)], 50) };
        let (chosen, after) = choose(all, need);
        assert_eq!(chosen, [(2, Why::Space)]);
        assert!(!after.is_short());
    }

    #[test]
    fn a_full_file_system_is_no_reason_to_make_room_on_another_one() {
        let full = Need { total: 100, budget: Some(100), rooms: rooms(&[(1, 1000), (2, 4)], 50) };
        assert!(full.is_short() && full.is_short_on(2) && !full.is_short_on(1));
        let over = Need { total: 101, ..full };
        assert!(over.is_short_on(1) && over.is_short_on(2));
    }

    proptest! {
        #[test]
        fn what_is_left_fits_or_nothing_is_left(
            files in proptest::collection::vec((0_u64..3, 1_u64..50, 0_u64..100), 0..20),
            budget in proptest::option::of(0_u64..500),
            floor in 0_u64..500,
            live in 0_u64..100,
            free in 0_u64..300,
        ) {
            let all: Vec<_> = files.iter().enumerate()
                .map(|(key, (device, size, age))| candidate(key, *device, *size, *age)).collect();
            let total = live + files.iter().map(|file| file.1).sum::<u64>();
            let rooms = rooms(&[(0, free), (1, free), (2, free)], floor);
            let need = Need { total, budget, rooms };
            let short = need.is_short();
            let (chosen, after) = choose(all.clone(), need);
            prop_assert!(short || chosen.is_empty());
            let removed: u64 = chosen.iter().map(|(key, _)| files[*key].1).sum();
            prop_assert_eq!(after.total, total - removed);
            if let Some(budget) = budget {
                prop_assert!(after.total <= budget || chosen.len() == files.len());
            }
            for (device, room) in &after.rooms {
                let left = all.iter().any(|c| c.device == *device && !chosen.iter().any(|(k, _)| *k == c.key));
                prop_assert!(room.free >= room.floor || !left);
            }
        }
    }
}
