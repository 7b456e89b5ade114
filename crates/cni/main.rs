//! `crilet-cni`: all of crilet's CNI plugins in one program, chosen by the name it is called by.
//!
//! `crilet cni install` lays a link for each plugin. Called by its own name, the first argument
//! chooses, as in `crilet-cni bridge`. `dhcp daemon` keeps the leases of the plugin `dhcp`.

use std::{
    env,
    ffi::OsString,
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
};

use crilet_cni::{
    PLUGINS, dhcp_daemon, find_plugin,
    netfilter::together,
    protocol::{Environment, run},
};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: crilet_cni::Allocator = crilet_cni::Allocator;

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
    if let Some(flags) = daemon_flags(plugin.name(), env::args_os()) {
        let is_passed = env::var("LISTEN_PID").is_ok_and(|id| id == std::process::id().to_string())
            && env::var("LISTEN_FDS").is_ok_and(|count| count == "1");
        let say = |words: &str| speak(&mut io::stderr(), &format!("dhcp: {words}\n"));
        return ExitCode::from(dhcp_daemon(flags, is_passed, say));
    }
    let environment = Environment::read(|name| env::var(name).ok());
    let spoken = together(|| {
        run(plugin, environment, || {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        })
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

/// What follows `daemon`, when that is what the plugin dhcp is called for.
fn daemon_flags(
    plugin: &str,
    arguments: impl Iterator<Item = OsString>,
) -> Option<impl Iterator<Item = String>> {
    let words: Vec<_> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let by_name = words.first().is_some_and(|word| word.rsplit('/').next() == Some("dhcp"));
    let mut words = words.into_iter().skip(if by_name { 1 } else { 2 });
    let is_daemon = plugin == "dhcp" && words.next().as_deref() == Some("daemon");
    is_daemon.then_some(words)
}

/// A runtime that does not listen is told nothing; the exit status remains.
fn speak(stream: &mut dyn Write, text: &str) {
    drop(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()));
}
