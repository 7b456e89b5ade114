//! Options of a verb that are described to clap only when that verb is called.
//!
//! A command describes its own options and no more: one describes what the others take only for a person
//! who asks for it.

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// Options `A` behind [`Command::defer`].
#[derive(Debug)]
pub(crate) struct Later<A>(pub(crate) A);

impl<A: Args> Args for Later<A> {
    fn augment_args(command: Command) -> Command {
        command.defer(describe::<A>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(describe::<A>)
    }
}

/// Adds what `A` takes. What the verb says of itself stands in the list of verbs, and wins over the
/// words at the type of its options.
fn describe<A: Args>(command: Command) -> Command {
    let about = command.get_about().cloned();
    let command = globals_last(A::augment_args(command).long_about(None));
    match about {
        Some(about) => command.about(about),
        None => command,
    }
}

/// Puts what every verb takes behind the verb's own options: help has groups in the order of their first
/// options, and clap gave the verb those of all before it was described.
fn globals_last(command: Command) -> Command {
    let globals = command.get_arguments().filter(|option| option.is_global_set());
    let globals: Vec<_> = globals.map(|option| option.get_id().clone()).collect();
    // An option that is changed goes to the end.
    globals.into_iter().fold(command, |command, id| command.mut_arg(id, |option| option))
}

impl<A: FromArgMatches> FromArgMatches for Later<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        A::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        A::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }

    fn update_from_arg_matches_mut(&mut self, matches: &mut ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches_mut(matches)
    }
}
