//! Whether the host's `iptables-restore` writes rules as this program does.
//!
//! In a network namespace that nobody else sees, the host's program makes one rule of every kind, and
//! so does this one, in chains of other names. What the kernel then lists is compared byte by byte.
//! That takes some 10 ms, so what came of it is kept in `/run/crilet` until the machine starts anew,
//! or either program is another one.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
};

use crilet_core::fs::replace_quickly;
use nix::sched::{CloneFlags, unshare};

use super::{script::Script, send};
use crate::{
    Family,
    lock::DIRECTORY,
    netfilter::{
        Filter, attributes,
        cleaner::{NAT, NAT6},
        find, push,
        tables::Listed,
    },
};

const SAME: &str = "same";
const CHAIN_HANDLE: u16 = 2;
const CHAIN_NAME: u16 = 3;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_POSITION: u16 = 6;
/// What chains begin with that the host's program makes, and that this one makes.
const THEIRS: &str = "TRY-A";
const OURS: &str = "TRY-B";

/// Tells versions of this program apart by what the bytes come from.
const OWN: u64 = mixed(
    mixed(mixed(0xcbf2_9ce4_8422_2325, include_bytes!("encode.rs")), include_bytes!("script.rs")),
    include_bytes!("proof.rs"),
);

/// FNV-1a, which can be had while this is compiled.
const fn mixed(mut sum: u64, bytes: &[u8]) -> u64 {
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        sum = (sum ^ *byte as u64).wrapping_mul(0x0100_0000_01b3);
        rest = after;
    }
    sum
}

/// What came of an earlier comparison with this very program; `None` when there was none.
pub(in crate::netfilter) fn verdict(program: &Path, family: Family) -> Option<bool> {
    let kept = fs::read_to_string(path_of(family)).ok()?;
    let (kept, result) = kept.trim_end().split_once('\n')?;
    (kept == identity(program).ok()?).then_some(result == SAME)
}

/// Compares, and keeps what came of it. `restore` runs the host's program with a script.
pub(in crate::netfilter) fn compare(
    program: &Path,
    family: Family,
    restore: impl FnOnce(&str) -> io::Result<()> + Send,
) {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        is_same(family, restore)
    };
    let compared = thread::scope(|scope| scope.spawn(inside).join());
    let result = match compared {
        Ok(Ok(true)) => SAME.to_owned(),
        Ok(Ok(false)) => "other".to_owned(),
        Ok(Err(cause)) => format!("unknown: {cause}").replace('\n', " "),
        Err(_panic) => "unknown: the thread died".to_owned(),
    };
    // Where nothing can be kept, the host's program makes the rules.
    let Ok(identity) = identity(program) else { return };
    let text = format!("{identity}\n{result}\n");
    let kept = fs::create_dir_all(DIRECTORY);
    drop(kept.and_then(|()| replace_quickly(&path_of(family), text.as_bytes(), 0o600)));
}

fn path_of(family: Family) -> PathBuf {
    let number = if family == Family::Ipv4 { '4' } else { '6' };
    Path::new(DIRECTORY).join(format!("cni-iptables{number}"))
}

/// Tells one program of the host from any other, and one version of this one from another.
fn identity(program: &Path) -> io::Result<String> {
    let file = fs::metadata(program)?;
    let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    let (device, inode, size) = (file.dev(), file.ino(), file.size());
    Ok(format!("{} {device} {inode} {size} {times:?} {OWN:x}", program.display()))
}

/// What this program makes to compare.
pub(super) fn attempt(family: Family, prefix: &str) -> Option<Script> {
    Script::parse(family, &words(family, prefix))
}

fn is_same(family: Family, restore: impl FnOnce(&str) -> io::Result<()>) -> io::Result<bool> {
    restore(&words(family, THEIRS))?;
    let own = attempt(family, OURS).ok_or(io::ErrorKind::InvalidData)?;
    send(&own)?;
    let theirs = listed(family, THEIRS)?;
    Ok(!theirs.is_empty() && theirs == listed(family, OURS)?)
}

/// Chains with that prefix and rules that name one, by their chains and in the order there, without
/// the prefix and the numbers that the kernel gives.
fn listed(family: Family, prefix: &str) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let table = if family == Family::Ipv4 { NAT } else { NAT6 };
    let filter = Filter::open()?;
    let mut found = Vec::new();
    for (listed, name, numbers) in [
        (Listed::Chains, CHAIN_NAME, &[CHAIN_HANDLE][..]),
        (Listed::Rules, RULE_CHAIN, &[RULE_HANDLE, RULE_POSITION]),
    ] {
        filter.each(table, listed, |told| {
            let mut bytes = Vec::new();
            for (kind, value) in attributes(told).filter(|(kind, _)| !numbers.contains(kind)) {
                push(&mut bytes, kind, value);
            }
            found.extend(without(&bytes, prefix).and_then(|bytes| {
                let chain = find(&bytes, name)?.to_vec();
                Some((chain, bytes))
            }));
        })?;
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// Bytes with others in place of `word`; `None` when that is not in them.
fn without(bytes: &[u8], word: &str) -> Option<Vec<u8>> {
    let word = word.as_bytes();
    let mut bytes = bytes.to_vec();
    let found = |bytes: &[u8]| bytes.windows(word.len()).position(|window| window == word);
    found(&bytes)?;
    while let Some(at) = found(&bytes) {
        bytes.iter_mut().skip(at).take(word.len()).for_each(|byte| *byte = b'x');
    }
    Some(bytes)
}

/// Rules of every kind in the words of `iptables-restore`. Nothing leads from the kernel's chains to
/// new destinations, which may only be given where packets come in.
fn words(family: Family, prefix: &str) -> String {
    let [pod, net, odd, few, host] = match family {
        Family::Ipv4 => ["10.1.2.3", "10.1.0.0/16", "10.1.16.0/20", "224.0.0.0/4", "192.0.2.1"],
        Family::Ipv6 => ["fd00:1::3", "fd00:1::/64", "fd00:1:0:10::/60", "ff00::/8", "2001:db8::1"],
    };
    let (all, whole, socket) = match family {
        Family::Ipv4 => ("0.0.0.0/0", 32, format!("{pod}:8080")),
        Family::Ipv6 => ("::/0", 128, format!("[{pod}]:8080")),
    };
    let comment = r#"-m comment --comment "name: \"n\" id: \"i\"""#;
    let mut lines: Vec<String> =
        ["", "-D", "-P", "-M"].iter().map(|end| format!(":{prefix}{end} - [0:0]")).collect();
    lines.push(format!("-A POSTROUTING -s {pod}/{whole} {comment} -j {prefix}"));
    lines.push(format!("-A {prefix} -d {net} {comment} -j ACCEPT"));
    lines.push(format!("-A {prefix} ! -d {few} {comment} -j MASQUERADE"));
    lines.push(format!("-A {prefix} ! -s {odd} -j ACCEPT"));
    for protocol in ["tcp", "udp"] {
        for ports in ["80", "80,443,65535"] {
            lines.push(format!(
                "-A {prefix}-D -p {protocol} {comment} -m multiport --dports {ports} -j {prefix}-P"
            ));
        }
        for source in [net, odd, all, pod] {
            lines.push(format!("-A {prefix}-P -p {protocol} --dport 80 -s {source} -j {prefix}-M"));
        }
        lines.push(format!(
            "-A {prefix}-P -d {host} -p {protocol} --dport 80 -s {net} -j {prefix}-M"
        ));
        let to = format!("-j DNAT --to-destination {socket}");
        lines.push(format!("-A {prefix}-P -p {protocol} --dport 80 {to}"));
        lines.push(format!("-A {prefix}-P -d {host} -p {protocol} --dport 80 {to}"));
    }
    format!("*nat\n{}\nCOMMIT\n", lines.join("\n"))
}
