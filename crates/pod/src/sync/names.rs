//! Pods by their names, in each other's `/etc/hosts`.
//!
//! A pod is found as `NAME` within its namespace and as `NAME.NAMESPACE` from everywhere, and the
//! same with its host name where that is another; with a subdomain also as `HOSTNAME.SUBDOMAIN`,
//! `HOSTNAME.SUBDOMAIN.NAMESPACE` and by its full name. No resolver is needed for it, none can be
//! down, and no port of the host is taken; what a file cannot do is wildcards and other types of
//! records, which nobody asks of names of pods.
//!
//! Files are written in place: a container has the very file mounted, another one by the same name
//! would not be seen in it. Changes are gathered for [`PAUSE`], so that a hundred pods that come up
//! together cost a few rounds of writing and not ten thousand files.

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::IpAddr,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    model::Pod,
    render::{self, Peer},
};

/// How long changes are gathered before files are written.
pub const PAUSE: Duration = Duration::from_millis(50);

/// How long files are left as they are after a start of the daemon, while pods are still to be
/// looked at: names that are only not known yet must not go from files that have them.
const PATIENCE: Duration = Duration::from_secs(5);

/// A pod that has addresses.
#[derive(Debug, Clone, PartialEq)]
pub struct Present {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Where its containers' `/etc/hosts` is.
    pub file: PathBuf,
    /// Its addresses; those of the host for a pod on its network.
    pub addresses: Vec<IpAddr>,
}

/// The pods of a node that have addresses.
#[derive(Debug, Default)]
pub struct Directory {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// By uid.
    present: BTreeMap<String, Present>,
    /// Uids of pods that nobody has looked at yet.
    expected: BTreeSet<String>,
}

impl Directory {
    /// A pod is to be looked at soon.
    pub(super) fn expect(&self, uid: &str) {
        self.lock().expected.insert(uid.to_owned());
    }

    /// What is known of a pod's addresses from now on.
    pub(super) fn set(&self, uid: &str, present: Option<Present>) {
        let mut known = self.lock();
        let was_expected = known.expected.remove(uid);
        let same = known.present.get(uid) == present.as_ref();
        if !same {
            match present {
                Some(present) => known.present.insert(uid.to_owned(), present),
                None => known.present.remove(uid),
            };
        }
        if !same || was_expected && known.expected.is_empty() {
            self.changed.notify_one();
        }
    }

    /// Writes a pod's file, which need not be there yet.
    pub(super) fn write(&self, uid: &str, present: Present, node: &str) -> io::Result<()> {
        // Under the lock, so that nobody's older text comes after it.
        let mut known = self.lock();
        known.present.insert(uid.to_owned(), present.clone());
        self.changed.notify_one();
        if let Some(directory) = present.file.parent() {
            fs::create_dir_all(directory)?;
        }
        let peers = known.peers(uid, &present.pod);
        let text = render::hosts_file(&present.pod, &present.addresses, node, &peers);
        rewrite(&present.file, &text, true)
    }

    /// Keeps all files up to date, for ever. Safe to drop between two rounds.
    pub async fn keep_current(&self, hosts: &Path) {
        loop {
            self.changed.notified().await;
            let all_seen = async {
                while !self.lock().expected.is_empty() {
                    self.changed.notified().await;
                }
            };
            // Late is better than never: one pod that cannot be looked at must not hold up all.
            let _late = tokio::time::timeout(PATIENCE, all_seen).await.is_err();
            tokio::time::sleep(PAUSE).await;
            self.write_all(hosts);
        }
    }

    fn write_all(&self, hosts: &Path) {
        let known = self.lock();
        let of_host = LazyCell::new(|| fs::read_to_string(hosts).unwrap_or_default());
        for (uid, present) in &known.present {
            let node = if present.pod.uses_host_network() { of_host.as_str() } else { "" };
            let peers = known.peers(uid, &present.pod);
            let text = render::hosts_file(&present.pod, &present.addresses, node, &peers);
            match rewrite(&present.file, &text, false) {
                // No container has been made with it yet, or the sandbox has just gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let path = present.file.display();
                    tracing::warn!(%path, %error, "cannot bring a hosts file up to date");
                }
                Ok(()) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing between locking and unlocking leaves it half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// All pods but one, by the names that they have for it.
    fn peers(&self, uid: &str, pod: &Pod) -> Vec<Peer> {
        let others = self.present.iter().filter(|(other, _)| *other != uid);
        let lines = others.flat_map(|(_, present)| {
            let names = names(&present.pod, &pod.namespace);
            present.addresses.iter().map(move |&ip| Peer { ip, names: names.clone() })
        });
        lines.collect()
    }
}

/// The names of a pod for those in a namespace, each once, the shortest first.
fn names(pod: &Pod, seen_from: &str) -> Vec<String> {
    let own = [pod.name.as_str(), pod.names.hostname.as_str()];
    let own: Vec<&str> = own.into_iter().filter(|name| !name.is_empty()).collect();
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    if pod.namespace == seen_from {
        own.iter().for_each(|&name| add(name.to_owned()));
    }
    own.iter().for_each(|name| add(format!("{name}.{}", pod.namespace)));
    if let Some(subdomain) = &pod.names.subdomain {
        let name = format!("{}.{subdomain}", pod.names.hostname);
        if pod.namespace == seen_from {
            add(name.clone());
        }
        add(format!("{name}.{}", pod.namespace));
    }
    if let Some(fqdn) = &pod.names.fqdn {
        add(fqdn.clone());
    }
    names
}

/// Puts a text into a file that others have open or mounted; nothing if it is in it already.
fn rewrite(path: &Path, text: &str, create: bool) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(true).create(create).truncate(false).open(path)?;
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if file.metadata()?.len() == length && fs::read(path)? == text.as_bytes() {
        return Ok(());
    }
    // Never empty in between: a program that resolves a name right now finds the old or the new.
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(length)?;
    if create {
        use std::os::unix::fs::PermissionsExt as _;
        // Containers of any user read the file, whatever the umask is.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{ReadOptions, Text, read};

    fn pod(metadata: &str, spec: &str) -> Arc<Pod> {
        let content = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{{metadata}}}, spec: {{{spec} \
             containers: [{{name: c, image: i}}]}}}}"
        );
        let text = Text { file: "pod.yaml".into(), content: content.into_bytes() };
        Arc::new(read(&[text], &ReadOptions::default()).unwrap().pods.remove(0))
    }

    #[test]
    fn a_pod_is_found_within_its_namespace_and_from_others() {
        let plain = pod("name: db, namespace: blog", "");
        assert_eq!(names(&plain, "blog"), ["db", "db.blog"]);
        assert_eq!(names(&plain, "default"), ["db.blog"]);
        let full = pod("name: db-0, namespace: blog", "hostname: first, subdomain: db,");
        let full_name = "first.db.blog.svc.cluster.local";
        assert_eq!(
            names(&full, "blog"),
            ["db-0", "first", "db-0.blog", "first.blog", "first.db", "first.db.blog", full_name]
        );
        let elsewhere = ["db-0.blog", "first.blog", "first.db.blog", full_name];
        assert_eq!(names(&full, "default"), elsewhere);
        assert_eq!(names(&pod("name: node", "hostNetwork: true,"), "default")[0], "node");
    }

    /// A directory of names with two pods in it, and where their files are.
    struct Bed {
        scratch: tempfile::TempDir,
        directory: Arc<Directory>,
    }

    impl Bed {
        fn new() -> Self {
            Self { scratch: tempfile::tempdir().unwrap(), directory: Arc::default() }
        }

        fn present(&self, name: &str, address: &str) -> Present {
            Present {
                pod: pod(&format!("name: {name}"), ""),
                file: self.scratch.path().join(name).join("hosts"),
                addresses: vec![address.parse().unwrap()],
            }
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.scratch.path().join(name).join("hosts")).unwrap()
        }

        /// Keeps files current for two rounds and more.
        async fn settle(&self) {
            let keep = self.directory.keep_current(Path::new("/no/hosts"));
            let _never = tokio::time::timeout(PAUSE * 4, keep).await.is_err();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_and_goes_is_seen_in_the_same_file() {
        let bed = Bed::new();
        bed.directory.write("u1", bed.present("web", "10.0.0.1"), "").unwrap();
        let mounted = fs::File::open(bed.scratch.path().join("web/hosts")).unwrap();
        assert!(!bed.text("web").contains("other pods"));
        bed.directory.write("u2", bed.present("db", "10.0.0.2"), "").unwrap();
        assert!(bed.text("db").contains("\n10.0.0.1\tweb\tweb.default\n"), "{}", bed.text("db"));
        bed.settle().await;
        assert!(bed.text("web").ends_with("\n10.0.0.2\tdb\tdb.default\n"));
        bed.directory.set("u2", Some(bed.present("db", "10.0.0.3")));
        bed.settle().await;
        assert!(bed.text("web").ends_with("\n10.0.0.3\tdb\tdb.default\n"));
        bed.directory.set("u2", None);
        bed.settle().await;
        assert!(!bed.text("web").contains("db"), "{}", bed.text("web"));
        assert_eq!(io::read_to_string(mounted).unwrap(), bed.text("web"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_known_yet_does_not_go() {
        let bed = Bed::new();
        let all = [("u1", "web", "10.0.0.1"), ("u2", "db", "10.0.0.2")];
        for (uid, name, address) in all {
            bed.directory.write(uid, bed.present(name, address), "").unwrap();
        }
        bed.settle().await;
        let before = bed.text("web");
        assert!(before.contains("db"));
        let next = Bed { directory: Arc::default(), ..bed };
        all.iter().for_each(|(uid, ..)| next.directory.expect(uid));
        next.directory.set("u1", Some(next.present("web", "10.0.0.1")));
        next.settle().await;
        assert_eq!(next.text("web"), before, "the other pod has yet to be looked at");
        next.directory.set("u2", None);
        next.settle().await;
        assert!(!next.text("web").contains("db"), "it is known to be gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_cannot_be_looked_at_does_not_hold_up_the_others_for_ever() {
        let bed = Bed::new();
        bed.directory.write("u1", bed.present("web", "10.0.0.1"), "").unwrap();
        bed.directory.expect("u3");
        bed.directory.set("u2", Some(bed.present("db", "10.0.0.2")));
        let keep = bed.directory.keep_current(Path::new("/no/hosts"));
        let _never = tokio::time::timeout(PATIENCE * 2, keep).await.is_err();
        assert!(bed.text("web").contains("db"));
        assert!(!bed.scratch.path().join("db").exists(), "no file is made for what has none");
    }
}
