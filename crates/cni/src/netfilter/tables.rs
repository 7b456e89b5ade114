//! nf_tables as the kernel has it: chains and rules read, and taken away in one transaction.
//!
//! `iptables` of Debian, `nft`, and all else that is not the legacy tables end up here, so one
//! transaction can take away what several tools have made. A transaction that deletes keeps the
//! kernel waiting some 10 ms however much it deletes; the reference plugins make four to eight of
//! them for a pod. Adding is left to the tools, which know how each rule is spelt, and to `batch`.

use std::io;

use nix::errno::Errno;

use super::{
    rule::{Rule, read_rule},
    wire::{Filter, Kind, Message, attributes, find, number},
};

const SUBSYSTEM: u16 = 10;
const GETTABLE: u16 = 1;
const NEWCHAIN: u16 = 3;
const GETCHAIN: u16 = 4;
const DELCHAIN: u16 = 5;
const NEWRULE: u16 = 6;
const GETRULE: u16 = 7;
const DELRULE: u16 = 8;
const GETSETELEM: u16 = 13;
const NEWGEN: u16 = 15;
const GETGEN: u16 = 16;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

const TABLE_NAME: u16 = 1;
const TABLE_HANDLE: u16 = 4;
const CHAIN_TABLE: u16 = 1;
const CHAIN_HANDLE: u16 = 2;
const CHAIN_NAME: u16 = 3;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS: u16 = 3;
const GEN_ID: u16 = 1;
const BATCH_GENERATION: u16 = 1;

/// How often a listing is begun again because something else changed what it lists.
const ATTEMPTS: u32 = 20;

/// A family of tables; the numbers are the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TableFamily {
    Inet = 1,
    Ip = 2,
    Bridge = 7,
    Ip6 = 10,
}

/// A table by family and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Table {
    pub(crate) family: TableFamily,
    pub(crate) name: &'static str,
}

impl Table {
    pub(crate) const fn new(family: TableFamily, name: &'static str) -> Self {
        Self { family, name }
    }

    fn family(self) -> u8 {
        self.family as u8
    }
}

/// What [`Filter::each`] lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    Chains,
    Rules,
}

const fn kind(message: u16) -> u16 {
    SUBSYSTEM << 8 | message
}

impl Filter {
    /// A number that changes with every transaction of the namespace.
    ///
    /// # Errors
    /// When the kernel has no nf_tables.
    pub fn generation(&self) -> io::Result<u32> {
        let mut generation = None;
        let question = Message::new(kind(GETGEN), Kind::One, 0, 0);
        self.ask(question, |message, body| {
            if message == kind(NEWGEN) {
                generation = find(body, GEN_ID).and_then(number);
            }
        })?;
        generation.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Whether there is such a table.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn has_table(&self, table: Table) -> io::Result<bool> {
        self.table_number(table).map(|number| number.is_some())
    }

    /// A table's number; no other table of the namespace ever had it.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn table_number(&self, table: Table) -> io::Result<Option<u64>> {
        let question = Message::new(kind(GETTABLE), Kind::One, table.family(), 0);
        self.number_of(question.text(TABLE_NAME, table.name), TABLE_HANDLE)
    }

    /// Whether a table has such a chain.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn has_chain(&self, table: Table, chain: &str) -> io::Result<bool> {
        self.chain_number(table, chain).map(|number| number.is_some())
    }

    /// A chain's number: the rules and chains of a table are numbered in the order in which they
    /// are made, and no number is given twice.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn chain_number(&self, table: Table, chain: &str) -> io::Result<Option<u64>> {
        let question = Message::new(kind(GETCHAIN), Kind::One, table.family(), 0);
        let question = question.text(CHAIN_TABLE, table.name).text(CHAIN_NAME, chain);
        self.number_of(question, CHAIN_HANDLE)
    }

    fn number_of(&self, question: Message, attribute: u16) -> io::Result<Option<u64>> {
        let mut number = 0;
        let asked = self.ask(question, |_, body| {
            let bytes = find(body, attribute).and_then(|bytes| bytes.try_into().ok());
            number = bytes.map_or(number, u64::from_be_bytes);
        });
        exists(asked).map(|exists| exists.then_some(number))
    }

    /// Whether a chain has a rule that is wanted. The kernel lists a chain part by part, and no more
    /// than is needed is asked for.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn has_rule(
        table: Table,
        chain: &str,
        is_wanted: impl Fn(&Rule) -> bool,
    ) -> io::Result<bool> {
        // A listing that was left keeps its connection from listing anything else.
        let own = Self::open()?;
        let question = rules_of(table, Some(chain));
        let mut found = false;
        let listed = own.ask_until(question, |message, body| {
            found |= message == kind(NEWRULE) && {
                let rule = read_rule(table, body);
                rule.chain == chain && is_wanted(&rule)
            };
            found
        });
        match listed {
            _ if found => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            // Something changed while all of it was listed.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                own.rules(table, Some(chain)).map(|rules| rules.iter().any(is_wanted))
            }
            other => other.map(|()| false),
        }
    }

    /// Rules of a chain, or of all chains of a table; none when it does not exist.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn rules(&self, table: Table, chain: Option<&str>) -> io::Result<Vec<Rule>> {
        let listed = self.list(|| {
            let mut rules = Vec::new();
            self.ask(rules_of(table, chain), |message, body| {
                if message == kind(NEWRULE) {
                    rules.push(read_rule(table, body));
                }
            })?;
            // Old kernels do not look at the table.
            rules.retain(|rule| chain.is_none_or(|chain| rule.chain == chain));
            Ok(rules)
        });
        match listed {
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Gives all chains of a family, or all rules of a table, to `each`, in the attributes that the
    /// kernel tells.
    ///
    /// # Errors
    /// When the kernel cannot be asked, or there is no such table.
    pub(super) fn each(
        &self,
        table: Table,
        listed: Listed,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let (question, answer) = match listed {
            Listed::Chains => {
                (Message::new(kind(GETCHAIN), Kind::Dump, table.family(), 0), kind(NEWCHAIN))
            }
            Listed::Rules => (rules_of(table, None), kind(NEWRULE)),
        };
        self.ask(question, |message, body| {
            if message == answer {
                each(body);
            }
        })
    }

    /// Keys of a set's or map's elements; none when it does not exist.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn keys(&self, table: Table, set: &str) -> io::Result<Vec<Vec<u8>>> {
        let listed = self.list(|| {
            let mut keys = Vec::new();
            let question = Message::new(kind(GETSETELEM), Kind::Dump, table.family(), 0)
                .text(ELEMENTS_TABLE, table.name)
                .text(ELEMENTS_SET, set);
            self.ask(question, |_, body| {
                let elements = attributes(find(body, ELEMENTS).unwrap_or_default());
                let found = elements.filter_map(|(_, element)| find(find(element, 1)?, 1));
                keys.extend(found.map(<[u8]>::to_vec));
            })?;
            Ok(keys)
        });
        match listed {
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Lists until nothing changes meanwhile.
    fn list<T>(&self, list: impl Fn() -> io::Result<T>) -> io::Result<T> {
        let mut attempt = 1;
        loop {
            match list() {
                Err(error) if attempt < ATTEMPTS && error.kind() == io::ErrorKind::Interrupted => {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    /// The rule of a chain with that number.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn rule_at(
        &self,
        table: Table,
        chain: &str,
        handle: u64,
    ) -> io::Result<Option<Rule>> {
        let question = Message::new(kind(GETRULE), Kind::One, table.family(), 0)
            .text(RULE_TABLE, table.name)
            .text(RULE_CHAIN, chain)
            .attribute(RULE_HANDLE, &handle.to_be_bytes());
        let mut rule = None;
        let asked = self.ask(question, |message, body| {
            if message == kind(NEWRULE) {
                rule = Some(read_rule(table, body));
            }
        });
        exists(asked).map(|_| rule)
    }
}

/// Asks for the rules of a chain, or of all chains of a table.
fn rules_of(table: Table, chain: Option<&str>) -> Message {
    let question = Message::new(kind(GETRULE), Kind::Dump, table.family(), 0);
    let question = question.text(RULE_TABLE, table.name);
    match chain {
        Some(chain) => question.text(RULE_CHAIN, chain),
        None => question,
    }
}

fn exists(asked: io::Result<()>) -> io::Result<bool> {
    match asked {
        Ok(()) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOENT as i32)
}

/// What is to be taken away in one transaction.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Removal {
    rules: Vec<(Table, String, u64)>,
    chains: Vec<(Table, String)>,
}

impl Removal {
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.chains.is_empty()
    }

    /// Takes a rule away.
    pub(crate) fn rule(&mut self, rule: &Rule) {
        self.rules.push((rule.table, rule.chain.clone(), rule.handle));
    }

    /// Empties a chain and takes it away; what leads to it must go with it.
    pub(crate) fn chain(&mut self, table: Table, chain: &str) {
        self.chains.push((table, chain.to_owned()));
    }

    /// Takes all of it away, or nothing. `generation` is that of before anything was looked up.
    ///
    /// # Errors
    /// With `ERESTART` when something else made a transaction since: look again, and try again.
    pub(crate) fn commit(&self, filter: &Filter, generation: u32) -> io::Result<()> {
        let begin = Message::new(BATCH_BEGIN, Kind::Part { acknowledged: false }, 0, SUBSYSTEM)
            .attribute(BATCH_GENERATION, &generation.to_be_bytes());
        let mut messages = vec![begin];
        let part = |message, table: Table| {
            Message::new(kind(message), Kind::Part { acknowledged: true }, table.family(), 0)
        };
        for (table, chain, handle) in &self.rules {
            let message = part(DELRULE, *table).text(RULE_TABLE, table.name);
            let message = message.text(RULE_CHAIN, chain);
            messages.push(message.attribute(RULE_HANDLE, &handle.to_be_bytes()));
        }
        // Chains are emptied before any is removed, for one may lead to another.
        for (table, chain) in &self.chains {
            let message = part(DELRULE, *table).text(RULE_TABLE, table.name);
            messages.push(message.text(RULE_CHAIN, chain));
        }
        for (table, chain) in &self.chains {
            let message = part(DELCHAIN, *table).text(CHAIN_TABLE, table.name);
            messages.push(message.text(CHAIN_NAME, chain));
        }
        messages.push(Message::new(BATCH_END, Kind::Part { acknowledged: false }, 0, SUBSYSTEM));
        filter.send_all(messages)
    }
}
