//! The daemon: it keeps the leases that plugins ask for.

use std::{
    collections::HashMap,
    fs,
    io::{self, Error, ErrorKind},
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};
use serde::Deserialize;

use super::{
    client::Identity,
    config::Config,
    flags::Flags,
    lease::{Lease, Place},
    rpc::{self, Answer, Arguments},
    terms,
};
use crate::protocol::Attachment;

/// The descriptor that systemd passes a listening socket by.
const PASSED: i32 = 3;
/// Longest identifier of a client, in bytes; its option has room for 255, and a type before it.
const IDENTIFIER: usize = 254;

/// What of a configuration tells whose a lease is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    name: String,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid: Vec<Attachment>,
}

/// A lease's pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    container: String,
    network: String,
    link: String,
}

impl Key {
    fn identifier(&self) -> Vec<u8> {
        let text = format!("{}/{}/{}", self.container, self.network, self.link);
        // The type of the identifier: none of the hardware's.
        let mut bytes = vec![0];
        bytes.extend(text.bytes().take(IDENTIFIER));
        bytes
    }
}

/// All leases.
#[derive(Debug)]
struct Daemon {
    flags: Flags,
    leases: Mutex<HashMap<Key, Arc<Lease>>>,
    say: fn(&str),
}

/// Listens and keeps leases until a signal ends it. `is_passed` says that systemd listens already.
///
/// # Errors
/// When the socket or the file with the process's number cannot be made.
pub(super) fn run(flags: Flags, is_passed: bool, say: fn(&str)) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Before there is any other thread, so that all leave them to this one.
    signals.thread_block()?;
    let socket = prefixed(&flags.host_prefix, &flags.socket);
    let listener = if is_passed { passed()? } else { listen(&socket)? };
    if let Some(path) = &flags.pid_file {
        fs::write(path, std::process::id().to_string()).map_err(|error| named(error, path))?;
    }
    say(&format!("listening on {}", socket.display()));
    let pid_file = flags.pid_file.clone();
    let daemon = Arc::new(Daemon { flags, leases: Mutex::default(), say });
    thread::spawn(move || accept(&daemon, &listener));
    signals.wait()?;
    if !is_passed {
        drop(fs::remove_file(&socket));
    }
    if let Some(path) = pid_file {
        drop(fs::remove_file(path));
    }
    Ok(())
}

fn prefixed(prefix: &str, path: &str) -> PathBuf {
    PathBuf::from(format!("{prefix}{path}"))
}

fn named(error: Error, path: &Path) -> Error {
    Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

fn passed() -> io::Result<UnixListener> {
    // SAFETY: systemd has opened it for this process, and nothing else here takes it.
    #[expect(unsafe_code, reason = "a passed descriptor has no safe way to become one's own")]
    let owned = unsafe { OwnedFd::from_raw_fd(PASSED) };
    let listener = UnixListener::from(owned);
    listener.local_addr().map(|_| listener)
}

/// Takes the place of a daemon that is gone, but not of one that answers.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    let directory = socket.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(directory).map_err(|error| named(error, directory))?;
    if UnixStream::connect(socket).is_ok() {
        let error = Error::new(ErrorKind::AddrInUse, "another daemon listens there");
        return Err(named(error, socket));
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(named(error, socket)),
        _ => {}
    }
    UnixListener::bind(socket).map_err(|error| named(error, socket))
}

fn accept(daemon: &Arc<Daemon>, listener: &UnixListener) {
    for stream in listener.incoming() {
        match stream {
            Ok(mut stream) => {
                let daemon = Arc::clone(daemon);
                thread::spawn(move || {
                    let answer =
                        |method: &str, arguments: &Arguments| daemon.answer(method, arguments);
                    if let Err(error) = rpc::serve(&mut stream, answer) {
                        (daemon.say)(&format!("a call was cut off: {error}"));
                    }
                });
            }
            Err(error) => {
                (daemon.say)(&format!("failed to accept a call: {error}"));
                crate::kernel::pause(Duration::from_millis(100));
            }
        }
    }
}

impl Daemon {
    fn leases(&self) -> MutexGuard<'_, HashMap<Key, Arc<Lease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, method: &str, arguments: &Arguments) -> Answer {
        let config = serde_json::from_slice(&arguments.config)
            .map_err(|error| format!("error parsing netconf: {error}"))?;
        let owner: Owner =
            crate::protocol::from_value(serde_json::Value::clone(&config)).map_err(text)?;
        match method {
            "DHCP.Allocate" => {
                let config = Config::read(config, &arguments.args).map_err(text)?;
                self.allocate(&owner, arguments, &config).map(Some)
            }
            "DHCP.Release" => {
                let lease = self.leases().remove(&key(&owner, arguments));
                if let Some(lease) = lease {
                    lease.stop();
                }
                Ok(None)
            }
            super::COLLECT => {
                self.collect(&owner);
                Ok(None)
            }
            other => Err(format!("rpc: can't find method {other}")),
        }
    }

    fn allocate(
        &self,
        owner: &Owner,
        arguments: &Arguments,
        config: &Config,
    ) -> Result<super::gob::Value, String> {
        let key = key(owner, arguments);
        let lease = self.lease(&key, arguments, config);
        let result = lease.granted().and_then(|grant| terms::result(&grant, config));
        if result.is_err() {
            // A lease that is of no use is not kept.
            lease.stop();
            self.leases().retain(|_, known| !Arc::ptr_eq(known, &lease));
        }
        result
    }

    /// The lease of a pod, which is begun when there is none.
    fn lease(&self, key: &Key, arguments: &Arguments, config: &Config) -> Arc<Lease> {
        let mut leases = self.leases();
        leases.retain(|_, lease| !lease.is_over());
        if let Some(lease) = leases.get(key) {
            return Arc::clone(lease);
        }
        let lease = Arc::new(Lease::default());
        leases.insert(key.clone(), Arc::clone(&lease));
        let place = Place {
            name: format!("{}/{}/{}", key.container, key.network, key.link),
            namespace: prefixed(&self.flags.host_prefix, &arguments.namespace),
            link: key.link.clone(),
            identity: Identity {
                client: key.identifier(),
                provide: config.provide.clone(),
                request: config.request.clone(),
                is_broadcast: self.flags.is_broadcast,
            },
            limit: self.flags.timeout,
            longest_pause: self.flags.longest_pause,
            say: self.say,
        };
        let running = Arc::clone(&lease);
        thread::spawn(move || running.run(&place));
        lease
    }

    /// Ends leases of the network's pods that are not valid any more.
    fn collect(&self, owner: &Owner) {
        let is_gone = |key: &Key| {
            let one = Attachment { container_id: key.container.clone(), link: key.link.clone() };
            key.network == owner.name && !owner.valid.contains(&one)
        };
        let gone: Vec<_> = self.leases().extract_if(|key, _| is_gone(key)).collect();
        gone.iter().for_each(|(_, lease)| lease.stop());
    }
}

fn key(owner: &Owner, arguments: &Arguments) -> Key {
    Key {
        container: arguments.container.clone(),
        network: owner.name.clone(),
        link: arguments.link.clone(),
    }
}

fn text(error: crate::protocol::PluginError) -> String {
    error.to_string()
}
