//! What to do with the files of one log.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Policy;
use crate::files::{Compression, Family, Rotated, Stamp};

/// A live file that is smaller than this is not rotated to make room: there is none to be had.
const WORTHWHILE: u64 = 1 << 20;

/// All that a plan depends on besides the files and the policy.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    /// Now.
    pub now: SystemTime,
    /// Now, on the wall clock of the machine.
    pub wall: jiff::civil::DateTime,
    /// Whether the container runs, so that its log can be reopened.
    pub running: bool,
    /// Whether a live file that is missing will not come by itself: nobody has asked for it a moment
    /// ago, and it is not to be in another directory. A runtime that is asked twice has two threads for
    /// a while that write the same file, and lines of the older one come too late.
    pub deserted: bool,
    /// When the live file's first line was written.
    pub oldest: Option<SystemTime>,
    /// Whether there is too little room left, and nothing else to remove.
    pub pressed: bool,
}

/// Why a file is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// There are more files than the policy has.
    Count,
    /// Its lines are older than the policy has.
    Age,
    /// All logs together are larger than the node's budget.
    Budget,
    /// The file system has less free space than the node's floor.
    Space,
}

/// A thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Removes what somebody who was killed did not finish.
    RemoveUnfinished(Stamp),
    /// Removes a rotated file, in all its forms.
    Remove(Stamp, Why),
    /// Chooses among two forms of one file.
    Settle(Stamp),
    /// Makes the runtime write a new live file where there is none.
    Reopen,
    /// Gives a rotated file the live file's name back.
    PutBack(Stamp),
    /// Renames the live file and makes the runtime write a new one.
    Rotate(Stamp),
    /// Compresses a rotated file.
    Compress(Stamp, Compression),
}

/// Plans what the policy wants done, in the order in which it is done: what frees space first, the
/// slow rest last.
pub fn plan(family: &Family, policy: &Policy, situation: &Situation) -> Vec<Step> {
    let unfinished = family.temporary.iter().map(|(stamp, _)| Step::RemoveUnfinished(*stamp));
    let mut steps: Vec<Step> = unfinished.collect();
    let rotation = rotation(family, policy, situation);
    let rotates = matches!(rotation, Some(Step::Rotate(_)));

    let files = usize::try_from(policy.max_files).unwrap_or(usize::MAX);
    // With the live file, and the one that it becomes.
    let room = files.saturating_sub(1 + usize::from(rotates));
    let surplus = family.rotated.len().saturating_sub(room);
    let is_old = |modified: SystemTime| {
        policy.max_age.is_some_and(|age| age_of(modified, situation.now) > age)
    };
    let mut kept = Vec::new();
    for (number, rotated) in family.rotated.iter().enumerate() {
        let why = match rotated.best() {
            _ if number < surplus => Some(Why::Count),
            Some((_, meta)) if is_old(meta.modified) => Some(Why::Age),
            _ => None,
        };
        match why {
            Some(why) => steps.push(Step::Remove(rotated.stamp, why)),
            None => kept.push(rotated),
        }
    }
    let double = kept.iter().filter(|rotated| rotated.forms.len() > 1);
    steps.extend(double.map(|rotated| Step::Settle(rotated.stamp)));
    let back = if situation.running { None } else { put_back(family, &kept) };
    steps.extend(rotation.or_else(|| back.map(Step::PutBack)));

    let Some(compression) = policy.compression else { return steps };
    // The newest first: it will be there the longest.
    for (number, rotated) in kept.iter().rev().enumerate() {
        let Some(plain) = rotated.plain().filter(|_| rotated.forms.len() == 1) else { continue };
        // An archive could not be written beside what has one of its names.
        if family.taken.contains(&rotated.stamp) || back == Some(rotated.stamp) {
            continue;
        }
        let is_newest = number == 0 && !rotates;
        let rested = age_of(plain.modified, situation.now) >= policy.compress_after;
        // While the live file is missing the newest one is what the runtime writes.
        let written = number == 0 && family.live.is_none() && situation.running;
        if !written && (!is_newest || rested) {
            steps.push(Step::Compress(rotated.stamp, compression));
        }
    }
    steps
}

/// The step for the live file.
fn rotation(family: &Family, policy: &Policy, situation: &Situation) -> Option<Step> {
    if !situation.running {
        return None;
    }
    let Some(live) = family.live else {
        // Something strange at its place is not ours to put right.
        return (situation.deserted && !family.live_is_strange).then_some(Step::Reopen);
    };
    let too_large = policy.max_size.is_some_and(|size| live.size >= size);
    let oldest = situation.oldest.map(|oldest| age_of(oldest, situation.now));
    let too_old = policy.max_age.is_some_and(|age| oldest.is_some_and(|oldest| oldest > age));
    let in_the_way = situation.pressed && live.size >= WORTHWHILE;
    let rotate = live.size > 0 && (too_large || too_old || in_the_way);
    rotate.then(|| Step::Rotate(family.next_stamp(situation.wall)))
}

/// The file that was renamed by somebody who was killed before the runtime wrote a new one, when the
/// container has ended meanwhile and nobody ever will: others read only what has the live file's name.
fn put_back(family: &Family, kept: &[&Rotated]) -> Option<Stamp> {
    if family.live.is_some() || family.live_is_strange {
        return None;
    }
    let newest = kept.last()?;
    let is_plain = newest.forms.len() == 1 && newest.plain().is_some();
    (is_plain && family.newest() == Some(newest.stamp)).then_some(newest.stamp)
}

/// Zero for what is in the future.
fn age_of(time: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(time).unwrap_or_default()
}
