//! `crilet-cni`: all of crilet's CNI plugins in one program, chosen by the name it is called by.
//!
//! `crilet cni install` lays a link for each plugin. Called by its own name, the first argument
//! chooses, as in `crilet-cni bridge`.

use std::{
    env,
    ffi::OsString,
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
};

use crilet_cni::{
    PLUGINS, find_plugin,
    protocol::{Environment, run},
};

fn main() -> ExitCode {
    let Some(plugin) = chosen(env::args_os()).as_deref().and_then(find_plugin) else {
        let names: Vec<_> = PLUGINS.iter().map(|plugin| plugin.name()).collect();
        let words = format!(
            "crilet-cni {}: CNI plugins in one program\n\nCall it by the name of a plugin: \
             crilet cni install DIR lays links of these names.\nPlugins: {}\n",
            env!("CARGO_PKG_VERSION"),
            names.join(", ")
        );
        speak(&mut io::stderr(), &words);
        return ExitCode::from(64);
    };
    let environment = Environment::read(|name| env::var(name).ok());
    let spoken = run(plugin, environment, || {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    });
    speak(&mut io::stderr(), &spoken.stderr);
    speak(&mut io::stdout(), &spoken.stdout);
    ExitCode::from(spoken.status)
}

/// The name that it was called by, or the first argument.
fn chosen(mut arguments: impl Iterator<Item = OsString>) -> Option<String> {
    let called = arguments.next()?;
    let name = Path::new(&called).file_name()?.to_str()?.to_owned();
    if find_plugin(&name).is_some() {
        return Some(name);
    }
    arguments.next()?.into_string().ok()
}

/// A runtime that does not listen is told nothing; the exit status remains.
fn speak(stream: &mut dyn Write, text: &str) {
    drop(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()));
}
