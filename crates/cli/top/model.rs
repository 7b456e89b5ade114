//! What is shown and what was asked for. Pure.

use std::cmp::Ordering;

use super::keys::Key;
use crate::stats::usage::{Kind, Measured, Usage};

/// Rows that a page is, where it is not known yet.
const PAGE: usize = 10;

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Column {
    /// Name
    Name,
    /// Processor
    Cpu,
    /// Memory
    Memory,
    /// Share of the memory that may be used
    Share,
    /// Bytes received in a second
    Rx,
    /// Bytes sent in a second
    Tx,
    /// Processes
    Pids,
    /// Restarts
    Restarts,
}

impl Column {
    /// All of them, as they stand from left to right.
    pub(super) const ALL: [Self; 8] = [
        Self::Name,
        Self::Cpu,
        Self::Memory,
        Self::Share,
        Self::Rx,
        Self::Tx,
        Self::Pids,
        Self::Restarts,
    ];

    fn neighbour(self, step: usize) -> Self {
        let at = Self::ALL.iter().position(|column| *column == self).unwrap_or_default();
        Self::ALL[(at + step) % Self::ALL.len()]
    }
}

/// What follows from a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Leave,
    Pause,
}

/// Everything that the view shows.
#[derive(Debug)]
pub(super) struct Model {
    measured: Vec<Measured>,
    pub(super) sort: Column,
    pub(super) reversed: bool,
    pub(super) filter: String,
    /// Keys go into the filter.
    pub(super) typing: bool,
    pub(super) containers_only: bool,
    pub(super) colors: bool,
    pub(super) note: Option<String>,
    /// The id of the row that is marked: rows change their places.
    marked: Option<String>,
    /// The first row that is shown.
    pub(super) offset: usize,
    /// Rows that were shown at last.
    pub(super) page: usize,
}

impl Model {
    pub(super) fn new(sort: Column, colors: bool) -> Self {
        Self {
            measured: Vec::new(),
            sort,
            reversed: false,
            filter: String::new(),
            typing: false,
            containers_only: false,
            colors,
            note: None,
            marked: None,
            offset: 0,
            page: PAGE,
        }
    }

    /// Takes what was measured: each pod followed by its containers.
    pub(super) fn take(&mut self, measured: Vec<Measured>) {
        self.measured = measured;
        self.note = None;
    }

    /// Says something beside what was measured last.
    pub(super) fn note(&mut self, text: &str) {
        self.note = Some(text.to_owned());
    }

    /// How many pods and containers there are, and what they use together.
    pub(super) fn total(&self) -> (usize, usize, Usage) {
        let of = |kind| self.measured.iter().filter(move |one| one.kind == kind);
        let usages: Vec<_> = of(Kind::Container).map(|one| one.usage).collect();
        (of(Kind::Pod).count(), usages.len(), Usage::sum(&usages))
    }

    /// The rows that are wanted, in their order.
    pub(super) fn rows(&self) -> Vec<&Measured> {
        if self.containers_only {
            let containers = self.measured.iter().filter(|one| one.kind == Kind::Container);
            let mut rows: Vec<_> = containers.filter(|one| self.is_wanted(one)).collect();
            rows.sort_by(|one, other| self.compare(one, other));
            return rows;
        }
        let mut groups: Vec<Vec<&Measured>> = Vec::new();
        for one in &self.measured {
            match groups.last_mut() {
                Some(group) if one.kind == Kind::Container && is_of(one, group) => group.push(one),
                _ => groups.push(vec![one]),
            }
        }
        groups.sort_by(|one, other| self.compare(one[0], other[0]));
        groups.into_iter().flat_map(|group| self.of_group(group)).collect()
    }

    /// A pod that is wanted with all of its containers, or one that has wanted containers with those.
    fn of_group<'a>(&self, mut group: Vec<&'a Measured>) -> Vec<&'a Measured> {
        let head = group.remove(0);
        group.sort_by(|one, other| self.compare(one, other));
        if !self.is_wanted(head) {
            group.retain(|one| self.is_wanted(one));
            if group.is_empty() {
                return group;
            }
        }
        group.insert(0, head);
        group
    }

    fn is_wanted(&self, measured: &Measured) -> bool {
        measured.name.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// Numbers begin with the greatest, names with the first; what is equal goes by name.
    fn compare(&self, one: &Measured, other: &Measured) -> Ordering {
        let by_name = one.name.cmp(&other.name);
        let by = |of: fn(&Measured) -> Option<u64>| of(other).cmp(&of(one));
        let order = match self.sort {
            Column::Name => by_name,
            Column::Cpu => by(|one| one.usage.cpu_nanocores),
            Column::Memory => by(|one| one.usage.memory_bytes),
            Column::Share => {
                let share = |one: &Measured| one.usage.memory_share().unwrap_or(-1.0);
                share(other).total_cmp(&share(one))
            }
            Column::Rx => by(|one| one.usage.network?.received_bytes_per_second),
            Column::Tx => by(|one| one.usage.network?.sent_bytes_per_second),
            Column::Pids => by(|one| one.usage.processes),
            Column::Restarts => by(|one| Some(one.restarts.into())),
        };
        let order = if self.reversed { order.reverse() } else { order };
        order.then(by_name)
    }

    /// Which of so many rows is marked.
    pub(super) fn marked(&self, rows: &[&Measured]) -> usize {
        let at = |id: &String| rows.iter().position(|row| row.id == *id);
        self.marked.as_ref().and_then(at).unwrap_or_default()
    }

    /// Does what a key says.
    pub(super) fn press(&mut self, key: Key) -> Next {
        match key {
            Key::Interrupt => return Next::Leave,
            Key::Stop => return Next::Pause,
            Key::Up => self.go(|at, _| at.saturating_sub(1)),
            Key::Down => self.go(|at, _| at + 1),
            Key::PageUp => self.go(|at, page| at.saturating_sub(page)),
            Key::PageDown => self.go(|at, page| at + page),
            Key::Home => self.go(|_, _| 0),
            Key::End => self.go(|_, _| usize::MAX),
            Key::Tab => self.containers_only = !self.containers_only,
            Key::Right => self.sort = self.sort.neighbour(1),
            Key::Left => self.sort = self.sort.neighbour(Column::ALL.len() - 1),
            Key::Escape => {
                self.typing = false;
                self.filter.clear();
            }
            Key::Enter => self.typing = false,
            Key::Backspace if self.typing => drop(self.filter.pop()),
            Key::Char(letter) if self.typing => self.filter.push(letter),
            Key::Char(letter) => return self.press_letter(letter),
            Key::Backspace => {}
        }
        Next::Stay
    }

    fn press_letter(&mut self, letter: char) -> Next {
        match letter {
            'q' => return Next::Leave,
            'k' => return self.press(Key::Up),
            'j' => return self.press(Key::Down),
            'g' => return self.press(Key::Home),
            'G' => return self.press(Key::End),
            's' | '>' => return self.press(Key::Right),
            '<' => return self.press(Key::Left),
            'r' => self.reversed = !self.reversed,
            '/' => self.typing = true,
            'c' => self.sort = Column::Cpu,
            'm' => self.sort = Column::Memory,
            'n' => self.sort = Column::Name,
            'p' => self.sort = Column::Pids,
            _ => {}
        }
        Next::Stay
    }

    fn go(&mut self, to: impl FnOnce(usize, usize) -> usize) {
        let rows = self.rows();
        let at = to(self.marked(&rows), self.page.max(1)).min(rows.len().saturating_sub(1));
        let id = rows.get(at).map(|row| row.id.clone());
        self.marked = id;
    }
}

fn is_of(container: &Measured, group: &[&Measured]) -> bool {
    let pod = container.name.rsplit_once('/').map_or("", |(pod, _)| pod);
    group.first().is_some_and(|head| head.kind == Kind::Pod && head.name == pod)
}
