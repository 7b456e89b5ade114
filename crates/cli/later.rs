//! Options of a verb that are described to clap only when that verb is called.
//!
//! Help that lists the verbs says nothing of what each of them takes.

use clap::{Args, Command};

/// A verb that takes `A`.
pub(crate) fn later<A: Args>(verb: Command) -> Command {
    verb.defer(describe::<A>)
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
